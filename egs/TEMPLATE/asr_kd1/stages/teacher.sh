#!/usr/bin/env bash
# Stages 8 and 9: what the teacher does once, for all students. It is heard, transcribes
# audio, writes its targets to disk, gives its parameters. Sourced by asr_kd.sh.
# shellcheck disable=SC2154  # variables come from asr_kd.sh
set -euo pipefail

check_teacher() {
    while "${own_teacher}" && [ "${#running[@]}" -gt 0 ] \
        && [ ! -f "${teacher_exp}/.done" ]; do finish; done
    log "Stage 8: decode ${valid_set} with the teacher as the students will hear it"
    "${python}" -m espnet_kd.bin.check_teacher --task "${task}" --exp "${teacher_exp}" \
        --file "${inference_model}" --max_wer "${teacher_max_wer}" --ngpu "${ngpu}" \
        --data_path_and_name_and_type "$(heard "${valid_set}" speech)" \
        --text "$(final "${valid_set}")/text" --output "${teacher_exp}/gate.json"
}

transcribe_unlabelled() {
    if [ -z "${unlabelled_data}" ]; then return; fi
    log "Stage 8: the teacher transcribes ${unlabelled_data}, ${nj} jobs; logs: ${labels_dir}/logdir"
    transcribe "${unlabelled_data}" "${labels_dir}"
    "${python}" "${pyscripts}/combine_data.py" --output_dir "$(final "${distilled_data}")" \
        "$(final "${student_data}")" "${labels_dir}"
    collect_statistics "${distilled_data}"
}

# transcribe SET DIR: the teacher's words for a set's audio, as a data directory
transcribe() {
    local audio out=$2 conf=${inference_configs%% *} key label
    audio=$(final "$1")
    key=("${teacher_exp}/${inference_model}" "${conf}" "${audio}/${feature_file}" -- "${nj}")
    if is_fresh "${out}/.done" "${key[@]}" "${label_args}"; then
        log "${out}: transcribed already"; return
    fi
    begin_anew "${out}" "${key[@]}"  # other limits: what was heard stays
    # shellcheck disable=SC2206
    label=("${python}" -m espnet_kd.bin.pseudo_label --task "${task}" --exp "${teacher_exp}"
        --file "${inference_model}" --data_dir "${audio}" --output_dir "${out}"
        --inference_config "${conf}" --nj "${nj}" ${label_args})
    ${decode_cmd} JOB=1:"${nj}" "${out}/logdir/label.JOB.log" "${label[@]}" --job JOB \
        || { tail -n 20 "${out}"/logdir/label.*.log >&2; exit 1; }
    "${label[@]}"
    mark_fresh "${out}/.done" "${key[@]}" "${label_args}"
}

cache_all_targets() {
    local set out
    if ! "${cache_targets}"; then return; fi
    for set in "${distilled_data}" "${valid_set}"; do
        out=$(cache_dir "${set}")
        log "Stage 8: the teacher's targets of ${set}, ${nj} jobs; logs: ${out}/logdir"
        cache "${set}" "${out}"
    done
}

# cache SET DIR: the teacher's targets of a set
cache() {
    local data out=$2 key jobs
    data=$(final "$1")
    key=("${teacher_exp}/${inference_model}" "${data}/${feature_file}" "${data}/text"
        -- "${cache_args}")
    if is_fresh "${out}/.done" "${key[@]}"; then log "${out}: targets are there"; return; fi
    begin_anew "${out}" "${key[@]}" "${nj}"
    jobs=$("${python}" "${pyscripts}/split_scp.py" "${data}/text" "${nj}" "${out}/logdir/keys")
    # shellcheck disable=SC2086
    ${decode_cmd} JOB=1:"${jobs}" "${out}/logdir/cache.JOB.log" \
        "${python}" -m espnet_kd.bin.cache_teacher --exp "${teacher_exp}" \
        --file "${inference_model}" --ngpu 0 --shard JOB \
        --key_file "${out}/logdir/keys.JOB.scp" --output_dir "${out}" \
        --data_path_and_name_and_type "$(features "$1")" \
        --data_path_and_name_and_type "${data}/text,text,text" \
        ${cache_args} || { tail -n 20 "${out}"/logdir/cache.*.log >&2; exit 1; }
    "${python}" -m espnet_kd.bin.merge_cache --cache "${out}" --key_file "${data}/text" >&2
    mark_fresh "${out}/.done" "${key[@]}"
}

initialise_student() {
    if ! "${init_student}" && ! "${parameters_control}"; then return; fi
    log "Stage 9: the student's first parameters, from the teacher's: ${init_file%.pth}.md"
    initialise "${init_file}"
}

# initialise FILE: a student's first parameters, and beside them where each came from
initialise() {
    local tokens=${bpe_dir}/tokens.txt
    local key=("$1.done" "${teacher_exp}/${inference_model}" "${student_config}" "${tokens}"
        -- "${init_args}")
    if is_fresh "${key[@]}"; then log "$1: is there"; return; fi
    mkdir -p "${1%/*}"
    # shellcheck disable=SC2086
    "${python}" -m espnet_kd.bin.init_student --task "${task}" --exp "${teacher_exp}" \
        --file "${inference_model}" --student_config "${student_config}" --output "$1" \
        --token_list "${tokens}" ${init_args} > "${1%.pth}.log" 2>&1 \
        || { tail -n 5 "${1%.pth}.log" >&2; exit 1; }
    mark_fresh "${key[@]}"
}
