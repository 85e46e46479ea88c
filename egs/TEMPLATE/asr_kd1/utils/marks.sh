#!/usr/bin/env bash
# How a stage knows that its result is there and still valid. Sourced by asr_kd.sh.
# shellcheck disable=SC2154  # variables come from asr_kd.sh
set -euo pipefail

# is_fresh MARK [FILE ...] [-- WORD ...]: was this result made from just these?
is_fresh() { _landed check "$@"; }
# mark_fresh MARK [FILE ...] [-- WORD ...]: it was, just now
mark_fresh() { _landed mark "$@"; }
_landed() {
    local verb=$1 mark=$2 inputs=(); shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do inputs+=("$1"); shift; done
    [ $# -gt 0 ] && shift
    # Settings may look like options; a leading blank keeps them from being read as such.
    "${python}" "${pyscripts}/landed.py" "${verb}" "${mark}" \
        --inputs "${inputs[@]}" --settings "${@/#/ }"
}

# begin_anew DIR KEY ...: an unfinished directory goes on if it was begun with just these
begin_anew() {
    local out=$1; shift
    if [ -d "${out}" ] && ! is_fresh "${out}/.begun" "$@"; then rm -rf "${out}"; fi
    mkdir -p "${out}"
    mark_fresh "${out}/.begun" "$@"
}
