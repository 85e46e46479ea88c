#!/usr/bin/env bash
# Stage 16: distilled students as others can use them. Sourced by asr_kd.sh.
# shellcheck disable=SC2154  # variables come from asr_kd.sh
set -euo pipefail

pack_students() {
    local seed dir
    for seed in ${seeds}; do
        dir=$(distilled_exp "${seed}")
        pack "${dir}"
        if "${deploy}"; then deploy_student "${dir}"; fi
    done
}

# deploy_student MODEL_DIR: 8-bit weights, and graphs where there are any
deploy_student() {
    convert "$1" quantize
    if [ "${task}" = asr_transducer ]; then
        log "Stage 16: no ONNX graph is written of transducers, whose encoder torch cannot export"
    else
        convert "$1" export_onnx --fs "${fs}"
    fi
}

# pack MODEL_DIR: the model as one file that stock ESPnet unpacks
pack() {
    log "Stage 16: pack ${1##*/}"
    "${python}" -m espnet2.bin.pack asr --asr_train_config "$1/config.yaml" \
        --asr_model_file "$1/${inference_model}" \
        --option "${bpe_dir}/bpe.model" \
        --option "${stats_dir}/${train_data}/train/feats_stats.npz" \
        --outpath "$1/packed.zip.partial.zip" > "$1/pack.log" 2>&1 \
        || { tail -n 20 "$1/pack.log" >&2; exit 1; }
    mv "$1/packed.zip.partial.zip" "$1/packed.zip"
}

# convert MODEL_DIR TOOL [OPTION...]: quantize, export_onnx
convert() {
    local dir=$1 tool=$2 key
    shift 2
    key=("${dir}/${tool}.done" "${dir}/${inference_model}")
    if is_fresh "${key[@]}"; then log "${tool} ${dir##*/}: is there"; return; fi
    log "Stage 16: ${tool} ${dir##*/}; log: ${dir}/${tool}.log"
    "${python}" -m "espnet_kd.bin.${tool}" --task "${task}" --exp "${dir}" \
        --file "${inference_model}" \
        --data_path_and_name_and_type "$(features "${valid_set}")" "$@" \
        > "${dir}/${tool}.log" 2>&1 || { tail -n 5 "${dir}/${tool}.log" >&2; exit 1; }
    mark_fresh "${key[@]}"
}
