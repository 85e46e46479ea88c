#!/usr/bin/env bash
# How a stage knows that it is done, and how trainings are started and followed. Sourced by
# asr_kd.sh, whose options and paths these functions read.
# shellcheck disable=SC2154

# is_fresh MARK [FILE ...] [-- WORD ...]: was this result made from just these?
_landed() {
    local verb=$1 mark=$2 inputs=(); shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do inputs+=("$1"); shift; done
    [ $# -gt 0 ] && shift
    # Settings may look like options; a leading blank keeps them from being read as such.
    "${python}" "${pyscripts}/landed.py" "${verb}" "${mark}" \
        --inputs "${inputs[@]}" --settings "${@/#/ }"
}
is_fresh() { _landed check "$@"; }
mark_fresh() { _landed mark "$@"; }

# set_data_opts SET: the options of ESPnet's training for a training set and the valid set
set_data_opts() {
    data_opts=(
        --train_data_path_and_name_and_type "$(final "$1")/${feature_file},speech,${feature_kind}"
        --train_data_path_and_name_and_type "$(final "$1")/text,text,text"
        --valid_data_path_and_name_and_type
        "$(final "${valid_set}")/${feature_file},speech,${feature_kind}"
        --valid_data_path_and_name_and_type "$(final "${valid_set}")/text,text,text")
}
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
    ${train_cmd} "${out}/stats.log" "${python}" -m espnet2.bin.asr_train \
        --collect_stats true --config "${teacher_config}" --output_dir "${out}" \
        "${data_opts[@]}" "${feature_opts[@]}" "${text_opts[@]}" --ngpu 0 \
        --train_shape_file "$(final "$1")/${feature_file}" \
        --valid_shape_file "$(final "${valid_set}")/${feature_file}" \
        || { tail -n 20 "${out}/stats.log" >&2; exit 1; }
    mark_fresh "${key[@]}"
}

# train DIR SET CONFIG SEED LAUNCHER [OPTION ...]; LAUNCHER is what runs asr_train
train() {
    local out=$1 set=$2 config=$3 seed=$4 launcher=$5; shift 5
    local stats=${stats_dir}/${set} key
    set_data_opts "${set}"; set_data_key "${set}"
    # Every model is normalised by the teacher's statistics: posteriors then compare.
    key=("${out}/.done" "${data_key[@]}" "${config}")
    if [[ "$*" == *--kd_conf* ]]; then
        key+=("${kd_config}" "${teacher_exp}/${inference_model}")
    fi
    if [[ "$*" == *--init_param* ]]; then key+=("${init_file}"); fi
    key+=(-- "${seed}" "$@")
    if is_fresh "${key[@]}"; then log "${out}: trained already"; return; fi
    if [ -f "${out}/.begun" ] && ! is_fresh "${out}/.begun" "${key[@]:1}"; then
        log "${out}: was begun with other data or settings; remove it, or change --expdir"
        exit 1
    fi
    mark_fresh "${out}/.begun" "${key[@]:1}"
    # Held by the training itself, so that it outlives a killed run.sh.
    exec 9> "${out}/.lock"
    if ! flock -n 9; then
        log "${out}: another run is training it; wait for it, or end it"
        exit 1
    fi
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
    mark_fresh "${key[@]}"
}
# Show how far a training in the background is, until it ends.
follow() {
    local pid=$1 file=$2 last='' now
    while sleep 2 && kill -0 "${pid}" 2> /dev/null; do
        now=$(grep -o '[0-9]*/[0-9]*epoch started.*' "${file}" 2> /dev/null | tail -n 1 || true)
        if [ "${now}" != "${last}" ]; then log "${file%/*}: ${now}"; last=${now}; fi
    done
    wait "${pid}"
}
followed() { train "$@" & follow $! "$1/train.log"; }

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
