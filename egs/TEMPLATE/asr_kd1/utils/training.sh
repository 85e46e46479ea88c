#!/usr/bin/env bash
# How ESPnet collects statistics and trains. Sourced by asr_kd.sh, and by scripts of other
# tasks; with what data is said by set_data_opts, set_data_key, key_file, set_model_opts and
# set_train_opts, which these define.
# shellcheck disable=SC2154  # variables come from there
set -euo pipefail

# collect_statistics SET [OPTION ...]: shapes of the set and statistics of its features
collect_statistics() {
    local set=$1 out=${stats_dir}/$1 key; shift
    set_data_opts "${set}"; set_data_key "${set}"; set_model_opts
    key=("${out}/.done" "${data_key[@]}" -- "${stats_settings[@]}" "$@")
    if is_fresh "${key[@]}"; then log "statistics are there"; return; fi
    # shellcheck disable=SC2086
    ${train_cmd} "${out}/stats.log" "${python}" ${trainer} \
        --collect_stats true --config "${teacher_config}" --output_dir "${out}" \
        "${data_opts[@]}" "${model_opts[@]}" "$@" --ngpu 0 \
        --train_shape_file "$(key_file "${set}")" \
        --valid_shape_file "$(key_file "${valid_set}")" \
        || { tail -n 20 "${out}/stats.log" >&2; exit 1; }
    mark_fresh "${key[@]}"
}

# train DIR SET CONFIG SEED LAUNCHER [OPTION ...]; LAUNCHER is what trains
train() {
    local out=$1 set=$2 config=$3 seed=$4 launcher=$5 key; shift 5
    set_data_opts "${set}"; set_data_key "${set}"; set_model_opts; set_train_opts "${set}"
    key=("${out}/.done" "${data_key[@]}" "${config}")
    if [[ "$*" == *--kd_conf* ]]; then
        key+=("${kd_config}" "${teacher_exp}/${inference_model}")
    fi
    if [[ "$*" == *--init_param* ]]; then key+=("${init_file}"); fi
    key+=(-- "${seed}" "$@")
    if is_fresh "${key[@]}"; then log "${out}: trained already"; return; fi
    begin_or_go_on "${out}" "${key[@]:1}"
    hold "${out}"
    launch "${out}" "${config}" "${seed}" "${launcher}" "$@"
    mark_fresh "${key[@]}"
}

# begin_or_go_on DIR KEY ...: a training goes on only with what it was begun with
begin_or_go_on() {
    local out=$1; shift
    if [ -f "${out}/.begun" ] && ! is_fresh "${out}/.begun" "$@"; then
        log "${out}: was begun with other data or settings; remove it, or change --expdir"
        exit 1
    fi
    mark_fresh "${out}/.begun" "$@"
}

# hold DIR: refuse a directory that another run is training; the lock belongs to the
# training itself, so that it outlives a killed run.sh
hold() {
    exec 9> "$1/.lock"
    if ! flock -n 9; then
        log "$1: another run is training it; wait for it, or end it"
        exit 1
    fi
}

# launch DIR CONFIG SEED LAUNCHER [OPTION ...]: the training itself, wherever cmd.sh says
launch() {
    local out=$1 config=$2 seed=$3 launcher=$4; shift 4
    # shellcheck disable=SC2086
    "${python}" -m espnet2.bin.launch --cmd "${cuda_cmd} --name ${out##*/}" \
        --log "${out}/train.log" --ngpu "${ngpu}" --num_nodes "${num_nodes}" \
        --init_file_prefix "${out}/.dist_init_" --multiprocessing_distributed true -- \
        env OMP_NUM_THREADS="${train_threads}" "${python}" ${launcher} \
        --config "${config}" --output_dir "${out}" --seed "${seed}" --resume true \
        "${data_opts[@]}" "${model_opts[@]}" "${train_opts[@]}" "$@" \
        > "${out}/launch.log" 2>&1 || { tail -n 20 "${out}/train.log" >&2; exit 1; }
}
