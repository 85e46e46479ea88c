#!/usr/bin/env bash
# Stages 12 and 13: every model writes down every test set, and is scored. Sourced by
# asr_kd.sh.
# shellcheck disable=SC2154  # variables come from asr_kd.sh
set -euo pipefail

# decodings: model directory, test set, inference config, output directory, role, seed
decodings() {
    local role seed dir set conf
    models | while read -r role seed dir; do
        for set in ${test_sets}; do
            for conf in ${inference_configs}; do
                echo "${dir} ${set} ${conf}" \
                    "${dir}/$(basename "${conf}" .yaml)/${set} ${role} ${seed}"
            done
        done
    done
}

decode_all() {
    local dir set conf out role search
    check_language_model
    decodings | while read -r dir set conf out role _; do
        search=search_whole
        if "${streaming}" && [ "${role}" != teacher ]; then search=search_stream; fi
        decode "${dir}" "${set}" "${conf}" "${out}" "${search}"
    done
}

# decode MODEL_DIR SET INFERENCE_CONFIG DIR SEARCH
decode() {
    local dir=$1 set=$2 conf=$3 out=$4 search=$5 key
    key=("${out}/.done" "${dir}/${inference_model}" "${conf}"
        "$(final "${set}")/${feature_file}")
    if [ "${search}" = search_stream ]; then
        key+=("${teacher_exp}/${inference_model}" -- streamed)
    elif [ -n "${lm_exp}" ]; then key+=("${lm_exp}/${lm_model}")
    fi
    if is_fresh "${key[@]}"; then log "${out}: decoded already"; return; fi
    log "Stage 12: decode ${set} with ${dir##*/}, $(basename "${conf}")"
    rm -rf "${out}"
    "${search}" "${dir}" "${set}" "${conf}" "${out}"
    mark_fresh "${key[@]}"
}

# search_whole MODEL_DIR SET INFERENCE_CONFIG DIR: utterances are heard whole, by stock ESPnet
search_whole() {
    local dir=$1 set=$2 conf=$3 out=$4 scp jobs
    scp=$(final "${set}")/${feature_file}
    jobs=$("${python}" "${pyscripts}/split_scp.py" "${scp}" "${nj}" "${out}/logdir/keys")
    ${decode_cmd} JOB=1:"${jobs}" "${out}/logdir/decode.JOB.log" \
        "${python}" -m "espnet2.bin.${task}_inference" --ngpu 0 --batch_size 1 \
        --config "${conf}" "${lm_opts[@]}" --key_file "${out}/logdir/keys.JOB.scp" \
        --data_path_and_name_and_type "$(features "${set}")" \
        --asr_train_config "${dir}/config.yaml" \
        --asr_model_file "${dir}/${inference_model}" --output_dir "${out}/logdir/output.JOB" \
        < /dev/null || { tail -n 20 "${out}"/logdir/decode.*.log >&2; exit 1; }
    sort "${out}"/logdir/output.*/1best_recog/text > "${out}/text.partial"
    mv "${out}/text.partial" "${out}/text"
}

# search_stream MODEL_DIR SET INFERENCE_CONFIG DIR: chunk by chunk; words are timed by the
# teacher, and in one job, so that a chunk's time is its own
search_stream() {
    local dir=$1 set=$2 conf=$3 out=$4
    mkdir -p "${out}/logdir"
    ${decode_cmd} JOB=1:1 "${out}/logdir/latency.JOB.log" \
        "${python}" -m espnet_kd.bin.latency --task "${task}" --exp "${dir}" \
        --file "${inference_model}" \
        --reference_exp "${teacher_exp}" --inference_config "${conf}" \
        --data_path_and_name_and_type "$(features "${set}")" \
        --data_path_and_name_and_type "$(final "${set}")/text,text,text" \
        --output_dir "${out}" < /dev/null \
        || { tail -n 20 "${out}"/logdir/latency.*.log >&2; exit 1; }
}

score_all() {
    local set out
    log "Stage 13: score by sclite"
    decodings | while read -r _ set _ out _; do
        "${python}" -m espnet_kd.bin.score --data_dir "$(final "${set}")" \
            --decode_dir "${out}" > /dev/null
    done
}
