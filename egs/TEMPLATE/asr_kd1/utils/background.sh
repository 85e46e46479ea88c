#!/usr/bin/env bash
# How trainings run in the background, at most train_jobs at once. Sourced by asr_kd.sh.
# shellcheck disable=SC2154  # variables come from asr_kd.sh
set -euo pipefail

running=()
# start DIR ...: train in the background, as soon as one of train_jobs places is free
start() {
    while [ "${#running[@]}" -ge "${train_jobs}" ]; do finish; done
    mkdir -p "$1"
    followed "$@" &
    running+=($!)
}
# finish: wait for the training that was started first
finish() {
    if ! wait "${running[0]}"; then
        log "a training failed; its log is shown above. Run the same again to go on."
        exit 1
    fi
    running=("${running[@]:1}")
}
finish_all() { while [ "${#running[@]}" -gt 0 ]; do finish; done; }

followed() { train "$@" & follow $! "$1/train.log"; }
# follow PID LOG: show how far a training in the background is, until it ends
follow() {
    local pid=$1 file=$2 last='' now
    while sleep 2 && kill -0 "${pid}" 2> /dev/null; do
        now=$(grep -o '[0-9]*/[0-9]*epoch started.*' "${file}" 2> /dev/null | tail -n 1 || true)
        if [ "${now}" != "${last}" ]; then log "${file%/*}: ${now}"; last=${now}; fi
    done
    wait "${pid}"
}
