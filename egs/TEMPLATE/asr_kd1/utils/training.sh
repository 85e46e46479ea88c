#!/usr/bin/env bash
# How ESPnet collects statistics and trains, with what data. Sourced by asr_kd.sh.
# shellcheck disable=SC2154  # variables come from asr_kd.sh
set -euo pipefail

# set_data_opts SET: the options of ESPnet's training for a training set and the valid set
set_data_opts() {
    data_opts=(
        --train_data_path_and_name_and_type "$(features "$1")"
        --train_data_path_and_name_and_type "$(final "$1")/text,text,text"
        --valid_data_path_and_name_and_type "$(features "${valid_set}")"
        --valid_data_path_and_name_and_type "$(final "${valid_set}")/text,text,text")
}
# set_data_key SET: the files that a result of this set depends on
set_data_key() {
    data_key=("$(final "$1")/${feature_file}" "$(final "$1")/text"
        "$(final "${valid_set}")/text" "${bpe_dir}/tokens.txt")
}

# collect_statistics SET: shapes of the set and statistics of its features
collect_statistics() {
    local out=${stats_dir}/$1 key
    set_data_opts "$1"; set_data_key "$1"
    key=("${out}/.done" "${data_key[@]}" -- "${feature_opts[@]}")
    if is_fresh "${key[@]}"; then log "statistics are there"; return; fi
    # shellcheck disable=SC2086
    ${train_cmd} "${out}/stats.log" "${python}" ${trainer} \
        --collect_stats true --config "${teacher_config}" --output_dir "${out}" \
        "${data_opts[@]}" "${feature_opts[@]}" "${text_opts[@]}" --ngpu 0 \
        --train_shape_file "$(final "$1")/${feature_file}" \
        --valid_shape_file "$(final "${valid_set}")/${feature_file}" \
        || { tail -n 20 "${out}/stats.log" >&2; exit 1; }
    mark_fresh "${key[@]}"
}

# train DIR SET CONFIG SEED LAUNCHER [OPTION ...]; LAUNCHER is what trains
train() {
    local out=$1 set=$2 config=$3 seed=$4 launcher=$5 key; shift 5
    set_data_opts "${set}"; set_data_key "${set}"
    key=("${out}/.done" "${data_key[@]}" "${config}")
    if [[ "$*" == *--kd_conf* ]]; then
        key+=("${kd_config}" "${teacher_exp}/${inference_model}")
    fi
    if [[ "$*" == *--init_param* ]]; then key+=("${init_file}"); fi
    key+=(-- "${seed}" "$@")
    if is_fresh "${key[@]}"; then log "${out}: trained already"; return; fi
    begin_or_go_on "${out}" "${key[@]:1}"
    hold "${out}"
    launch "${out}" "${set}" "${config}" "${seed}" "${launcher}" "$@"
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

# launch DIR SET CONFIG SEED LAUNCHER [OPTION ...]: the training itself, wherever cmd.sh
# says; what set_data_opts set is its data
launch() {
    local out=$1 stats=${stats_dir}/$2 config=$3 seed=$4 launcher=$5; shift 5
    # Every model is normalised by the teacher's statistics: posteriors then compare.
    # shellcheck disable=SC2086
    "${python}" -m espnet2.bin.launch --cmd "${cuda_cmd} --name ${out##*/}" \
        --log "${out}/train.log" --ngpu "${ngpu}" --num_nodes "${num_nodes}" \
        --init_file_prefix "${out}/.dist_init_" --multiprocessing_distributed true -- \
        env OMP_NUM_THREADS="${train_threads}" "${python}" ${launcher} \
        --config "${config}" --output_dir "${out}" --seed "${seed}" --resume true \
        "${data_opts[@]}" "${feature_opts[@]}" "${text_opts[@]}" \
        --normalize global_mvn \
        --normalize_conf "stats_file=${stats_dir}/${train_data}/train/feats_stats.npz" \
        --train_shape_file "${stats}/train/speech_shape" \
        --train_shape_file "${stats}/train/text_shape" \
        --valid_shape_file "${stats}/valid/speech_shape" \
        --valid_shape_file "${stats}/valid/text_shape" "$@" \
        > "${out}/launch.log" 2>&1 || { tail -n 20 "${out}/train.log" >&2; exit 1; }
}
