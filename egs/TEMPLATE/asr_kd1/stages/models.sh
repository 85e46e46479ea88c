#!/usr/bin/env bash
# Stages 5, 6, 7, 10 and 11: tokens and statistics that all models share, then the models.
# Sourced by asr_kd.sh.
# shellcheck disable=SC2154  # variables come from asr_kd.sh
set -euo pipefail

train_tokens() {
    local text key
    text=$(final "${train_data}")/text
    log "Stage 5: ${nbpe} ${bpemode} pieces from ${train_data}, shared by all models"
    key=("${bpe_dir}/.done" "${text}" -- "${nbpe}" "${bpemode}")
    if is_fresh "${key[@]}"; then return; fi
    "${python}" "${pyscripts}/train_tokens.py" --text "${text}" \
        --output_dir "${bpe_dir}" --nbpe "${nbpe}" --model_type "${bpemode}"
    mark_fresh "${key[@]}"
}

collect_all_statistics() {
    local set
    for set in $(unique "${train_data}" "${student_data}"); do
        log "Stage 6: statistics of ${set}"
        collect_statistics "${set}"
    done
}

train_teacher() {
    if ! "${own_teacher}"; then return; fi
    log "Stage 7: teacher on ${train_data}; log: ${teacher_exp}/train.log"
    # shellcheck disable=SC2086
    start "${teacher_exp}" "${train_data}" "${teacher_config}" "${teacher_seed}" \
        "${trainer}" ${teacher_args}
}

# The control needs no teacher; alone on the machine, it waits for the teacher's gate.
train_controls_beside_teacher() { if [ "${train_jobs}" -gt 1 ]; then start_controls; fi; }
train_controls() { if [ "${train_jobs}" -le 1 ]; then start_controls; fi; }

start_controls() { start_alone "Stage 10: control, the student alone" control_exp; }

# start_alone TITLE EXP [OPTION ...]: a student of every seed that nobody teaches, in the
# directory that the function EXP names
start_alone() {
    local title=$1 exp=$2 seed out; shift 2
    for seed in ${seeds}; do
        out=$("${exp}" "${seed}")
        log "${title}, seed ${seed}; log: ${out}/train.log"
        # shellcheck disable=SC2086
        start "${out}" "${student_data}" "${student_config}" "${seed}" \
            "${trainer}" "$@" ${student_args}
    done
}

train_distilled() {
    local seed out launcher=${trainer} opts=()
    if [ "${kd_config}" != none ]; then
        launcher=${kd_trainer}
        set_kd_opts; opts=("${kd_opts[@]}")
    fi
    if "${init_student}"; then opts+=(--init_param "${init_file}"); fi
    for seed in ${seeds}; do
        out=$(distilled_exp "${seed}")
        log "Stage 11: distilled student, seed ${seed}; log: ${out}/train.log"
        # shellcheck disable=SC2086
        start "${out}" "${distilled_data}" "${student_config}" "${seed}" \
            "${launcher}" "${opts[@]}" \
            ${unlabelled_set:+${unlabelled_args}} ${student_args} ${kd_args}
    done
}

# What the teacher's parameters are worth without its lessons.
train_parameters_controls() {
    if ! "${parameters_control}"; then return; fi
    start_alone "Stage 11: the student with the teacher's parameters" parameters_exp \
        --init_param "${init_file}"
}

# set_kd_opts: the kd_conf, with this recipe's teacher and its targets on disk
set_kd_opts() {
    local option
    kd_opts=(--kd_conf "${kd_config}")
    option=$("${python}" "${pyscripts}/teacher_option.py" --kd_config "${kd_config}" \
        --exp "${teacher_exp}" --file "${inference_model}")
    if [ -z "${option}" ]; then return; fi
    kd_opts+=(--kd_conf "${option}")
    if [ -n "${teacher_hears}" ]; then
        kd_opts+=(--allow_variable_data_keys true
            --train_data_path_and_name_and_type
            "$(heard "${distilled_data}" teacher_speech)"
            --valid_data_path_and_name_and_type "$(heard "${valid_set}" teacher_speech)")
    fi
    if "${cache_targets}"; then
        kd_opts+=(--kd_conf
            "targets=[$(cache_dir "${distilled_data}"), $(cache_dir "${valid_set}")]")
    fi
}
