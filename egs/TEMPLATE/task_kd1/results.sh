#!/usr/bin/env bash
# Stages 6 and 7: every model is measured on every test set, and all are compared. Sourced by
# task_kd.sh.
# shellcheck disable=SC2154  # variables come from task_kd.sh
set -euo pipefail

# evaluations: role, seed, model directory, test set and output directory, a line each
evaluations() {
    local set role seed dir
    models | while read -r role seed dir; do
        for set in ${test_sets}; do
            echo "${role} ${seed} ${dir} ${set} ${dir}/evaluated/${set}"
        done
    done
}

evaluate_all() {
    local dir set out
    evaluations | while read -r _ _ dir set out; do evaluate "${dir}" "${set}" "${out}"; done
}

# evaluate MODEL_DIR SET DIR
evaluate() {
    local dir=$1 set=$2 out=$3 key
    key=("${out}/.done" "${dir}/${inference_model}" local/evaluate.py "${datadir}/.done"
        "$(key_file "${set}")" -- "${evaluate_args}")
    if [ ! -f "${dir}/${inference_model}" ]; then
        log "${dir}/${inference_model} is missing: train that model first, stages 3 to 5"
        exit 1
    fi
    if is_fresh "${key[@]}"; then log "${out}: evaluated already"; return; fi
    log "Stage 6: ${set} with ${dir##*/}"
    rm -rf "${out}"; mkdir -p "${out}/logdir"
    # shellcheck disable=SC2086
    ${decode_cmd} JOB=1:1 "${out}/logdir/evaluate.JOB.log" \
        "${python}" local/evaluate.py --exp "${dir}" --file "${inference_model}" \
        --data_dir "$(final "${set}")" --output_dir "${out}" ${evaluate_args} < /dev/null \
        || { tail -n 20 "${out}"/logdir/evaluate.*.log >&2; exit 1; }
    mark_fresh "${key[@]}"
}

report_results() {
    local role seed dir set out opts=()
    log "Stage 7: results"
    while read -r role seed dir set out; do
        opts+=(--run "${role},${seed},${set},${dir},${out}")
    done < <(evaluations)
    "${python}" "${template}/pyscripts/task_results.py" --task "${task}" "${opts[@]}" \
        --command "${command}" --output_dir "${results_dir}"
    log "written: ${results_dir}/RESULTS.md"
}
