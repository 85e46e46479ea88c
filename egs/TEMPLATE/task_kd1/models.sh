#!/usr/bin/env bash
# Stages 1 to 5: data, statistics that all models share, then the models. Sourced by
# task_kd.sh.
# shellcheck disable=SC2154  # variables come from task_kd.sh
set -euo pipefail

prepare_data() {
    local lists key
    mapfile -t lists < <(lists_of_corpora)
    key=("${datadir}/.done" local/prepare.py "${lists[@]}" -- "${prepare_args}")
    if is_fresh "${key[@]}"; then
        log "data are there"
    else
        log "Stage 1: data"
        # shellcheck disable=SC2086
        "${python}" local/prepare.py --output_dir "${datadir}" ${prepare_args}
        mark_fresh "${key[@]}"
    fi
    # What takes stages of its own, such as a model by which data are made.
    if [ -f local/more_data.sh ]; then
        # shellcheck source=/dev/null
        . local/more_data.sh
        make_more_data
    fi
}

# lists_of_corpora: the lists (*.tsv) of folders among local/prepare.py's options; a corpus
# whose list was corrected is laid out anew
lists_of_corpora() {
    local word file
    for word in ${prepare_args}; do
        for file in "${word}"/*.tsv; do
            if [ -f "${file}" ]; then echo "${file}"; fi
        done
    done
}

collect_all_statistics() {
    if [ -n "${ready_shapes}" ]; then return; fi
    log "Stage 2: statistics of ${train_set}"
    # shellcheck disable=SC2086
    collect_statistics "${train_set}" ${task_args} ${stats_args}
}

train_teacher() {
    if ! "${own_teacher}"; then return; fi
    log "Stage 3: teacher; log: ${teacher_exp}/train.log"
    # shellcheck disable=SC2086
    start "${teacher_exp}" "${train_set}" "${teacher_config}" "${teacher_seed}" \
        "${trainer}" ${task_args} ${train_args} ${teacher_args}
}

# The control needs no teacher; alone on the machine, it waits for it.
train_controls_beside_teacher() { if [ "${train_jobs}" -gt 1 ]; then start_controls; fi; }
train_controls() { if [ "${train_jobs}" -le 1 ]; then finish_all; start_controls; fi; }

start_controls() {
    local seed out
    for seed in ${seeds}; do
        out=$(control_exp "${seed}")
        log "Stage 4: control, the student alone, seed ${seed}; log: ${out}/train.log"
        # shellcheck disable=SC2086
        start "${out}" "${train_set}" "${student_config}" "${seed}" "${trainer}" \
            ${task_args} ${train_args} ${student_args}
    done
}

train_distilled() {
    local seed out option kd_opts=(--kd_conf "${kd_config}")
    finish_all
    option=$("${python}" "${pyscripts}/teacher_option.py" --kd_config "${kd_config}" \
        --exp "${teacher_exp}" --file "${inference_model}")
    if [ -n "${option}" ]; then kd_opts+=(--kd_conf "${option}"); fi
    for seed in ${seeds}; do
        out=$(distilled_exp "${seed}")
        log "Stage 5: distilled student, seed ${seed}; log: ${out}/train.log"
        # shellcheck disable=SC2086
        start "${out}" "${train_set}" "${student_config}" "${seed}" "${kd_trainer}" \
            ${task_args} ${train_args} "${kd_opts[@]}" ${student_args} ${kd_args}
    done
}
