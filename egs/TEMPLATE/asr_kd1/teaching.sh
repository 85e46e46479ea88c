#!/usr/bin/env bash
# What the teacher does once, for all students: transcribe audio, write its targets to disk,
# give its parameters.
# Sourced by asr_kd.sh, whose options and paths these functions read.
# shellcheck disable=SC2154

# begin_anew DIR KEY ...: an unfinished directory goes on if it was begun with just these
begin_anew() {
    local out=$1; shift
    if [ -d "${out}" ] && ! is_fresh "${out}/.begun" "$@"; then rm -rf "${out}"; fi
    mkdir -p "${out}"
    mark_fresh "${out}/.begun" "$@"
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
    label=("${python}" -m espnet_kd.bin.pseudo_label --exp "${teacher_exp}"
        --file "${inference_model}" --data_dir "${audio}" --output_dir "${out}"
        --inference_config "${conf}" --nj "${nj}" ${label_args})
    ${decode_cmd} JOB=1:"${nj}" "${out}/logdir/label.JOB.log" "${label[@]}" --job JOB \
        || { tail -n 20 "${out}"/logdir/label.*.log >&2; exit 1; }
    "${label[@]}"
    mark_fresh "${out}/.done" "${key[@]}" "${label_args}"
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
        --data_path_and_name_and_type "${data}/${feature_file},speech,${feature_kind}" \
        --data_path_and_name_and_type "${data}/text,text,text" \
        ${cache_args} || { tail -n 20 "${out}"/logdir/cache.*.log >&2; exit 1; }
    "${python}" -m espnet_kd.bin.merge_cache --cache "${out}" --key_file "${data}/text" >&2
    mark_fresh "${out}/.done" "${key[@]}"
}

# initialise FILE: a student's first parameters, and beside them where each came from
initialise() {
    local key=("$1.done" "${teacher_exp}/${inference_model}" "${student_config}" -- "${init_args}")
    if is_fresh "${key[@]}"; then log "$1: is there"; return; fi
    mkdir -p "${1%/*}"
    # shellcheck disable=SC2086
    "${python}" -m espnet_kd.bin.init_student --exp "${teacher_exp}" \
        --file "${inference_model}" --student_config "${student_config}" --output "$1" \
        ${init_args} > "${1%.pth}.log" 2>&1 || { tail -n 5 "${1%.pth}.log" >&2; exit 1; }
    mark_fresh "${key[@]}"
}
