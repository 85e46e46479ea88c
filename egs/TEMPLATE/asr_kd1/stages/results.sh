#!/usr/bin/env bash
# Stages 14 and 15: what the models cost, and the results of all. Sourced by asr_kd.sh.
# shellcheck disable=SC2154  # variables come from asr_kd.sh
set -euo pipefail

# set_cost_key: the models that are measured, and what their cost depends on
set_cost_key() {
    local seed=${seeds%% *}
    measured=("${teacher_exp}" "$(control_exp "${seed}")" "$(distilled_exp "${seed}")")
    cost_key=("${results_dir}/cost.done" "${measured[@]/%//${inference_model}}"
        "${inference_configs%% *}" -- "${cost_utterances}")
}

measure_cost() {
    local dir opts=()
    set_cost_key
    if is_fresh "${cost_key[@]}"; then return; fi
    log "Stage 14: size, speed and memory of teacher and students; log: ${results_dir}/cost.log"
    mkdir -p "${results_dir}"
    for dir in "${measured[@]}"; do opts+=(--exp "${dir}"); done
    "${python}" -m espnet_kd.bin.measure --task "${task}" "${opts[@]}" \
        --file "${inference_model}" \
        --data_path_and_name_and_type "$(features "${test_sets%% *}")" \
        --inference_config "${inference_configs%% *}" --utterances "${cost_utterances}" \
        --output "${results_dir}/cost.json" > "${results_dir}/cost.log" 2>&1 \
        || { tail -n 5 "${results_dir}/cost.log" >&2; exit 1; }
    mark_fresh "${cost_key[@]}"
}

report_results() {
    local dir set conf out role seed opts=()
    log "Stage 15: results"
    while read -r dir set conf out role seed; do
        opts+=(--run "${role},${seed},$(basename "${conf}" .yaml),${set},${dir},${out}")
    done < <(decodings)
    set_cost_key
    if is_fresh "${cost_key[@]}"; then opts+=(--cost "${results_dir}/cost.json"); fi
    "${python}" -m espnet_kd.bin.report --task "${task}" "${opts[@]}" --corpus "${corpus}" \
        --command "${command}" --output_dir "${results_dir}"
    log "written: RESULTS.md, report.html and wer_by_size.png in ${results_dir}"
}
