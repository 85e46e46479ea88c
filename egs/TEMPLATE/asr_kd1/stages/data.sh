#!/usr/bin/env bash
# Stages 1, 3 and 4: from a corpus to directories of features. Sourced by asr_kd.sh.
# shellcheck disable=SC2154  # variables come from asr_kd.sh
set -euo pipefail

prepare_data() {
    local opts=()
    if [ -n "${prepared}${kaldi_data}" ]; then return; fi
    log "Stage 1: data of ${corpus}: ${all_sets//$'\n'/ }"
    if [ "${corpus}" = mini ] && [ -z "${librispeech_dir}" ]; then synthesise_mini; fi
    if "${download}"; then opts+=(--download); fi
    if "${drop_bad_audio}"; then opts+=(--drop_bad_audio); fi
    # shellcheck disable=SC2086
    "${python}" "${pyscripts}/prepare_data.py" --corpus "${corpus}" --fs "${fs}" \
        --corpus_dir "${corpus_dir}" --output_dir "${datadir}" --sets ${all_sets} "${opts[@]}"
}

synthesise_mini() {
    local key=("${corpus_dir}/.done" "${pyscripts}/synthesise_mini.py"
        "${pyscripts}/mini_grammar.py" -- "${mini_seed}" "${mini_scale}")
    if is_fresh "${key[@]}"; then return; fi
    log "the mini corpus is SYNTHETIC speech (espeak-ng), for showing, not for claims"
    "${python}" "${pyscripts}/synthesise_mini.py" --output_dir "${corpus_dir}" \
        --seed "${mini_seed}" --scale "${mini_scale}"
    mark_fresh "${key[@]}"
}

extract_features() {
    local set
    if [ "${feats_type}" != fbank ] || [ -n "${prepared}" ]; then return; fi
    log "Stage 3: ${n_mels}-dim filter banks, ${nj} jobs"
    for set in ${final_sets}; do extract_features_of "${set}"; done
}

extract_features_of() {
    local set=$1 out=${dumpdir}/fbank/$1 key jobs n parts=()
    key=("${out}/.done" "${datadir}/${set}/wav.scp"
        "${datadir}/${set}/utt2num_samples" -- "${fs}" "${n_mels}")
    if is_fresh "${key[@]}"; then log "${set}: features are there"; return; fi
    jobs=$("${python}" "${pyscripts}/split_scp.py" "${datadir}/${set}/wav.scp" \
        "${nj}" "${out}/logdir/wav")
    ${train_cmd} JOB=1:"${jobs}" "${out}/logdir/fbank.JOB.log" \
        "${python}" "${pyscripts}/extract_fbank.py" \
        --wav_scp "${out}/logdir/wav.JOB.scp" --output "${out}/feats.JOB" \
        --fs "${fs}" --n_mels "${n_mels}" \
        || { tail -n 5 "${out}"/logdir/fbank.*.log >&2; exit 1; }
    for n in $(seq "${jobs}"); do parts+=("${out}/feats.${n}"); done
    "${python}" "${pyscripts}/merge_feats.py" --wav_scp "${datadir}/${set}/wav.scp" \
        --output_dir "${out}" "${parts[@]}"
    mark_fresh "${key[@]}"
}

filter_data() {
    local set
    if [ -n "${prepared}" ]; then return; fi
    log "Stage 4: drop too long, too short, empty"
    for set in ${final_sets}; do filter_set "${set}"; done
}

filter_set() {
    local set=$1 org=${feats_dir}/$1/org opts=()
    mkdir -p "${org}"
    cp "${datadir}/${set}"/{wav.scp,text,utt2spk,utt2num_samples} "${org}"
    if [ "${feats_type}" = fbank ]; then
        cp "${feats_dir}/${set}"/feats{.scp,_shape} "${org}"
    fi
    # An utterance that is evaluated is never dropped for its length.
    case " ${test_sets} " in *" ${set} "*)
        opts=(--keep_empty_text --min_seconds 0 --max_seconds inf) ;;
    esac
    if [ "${set}" = "${unlabelled_data}" ]; then opts=(--keep_empty_text); fi
    "${python}" "${pyscripts}/filter_data.py" --data_dir "${org}" --fs "${fs}" \
        --output_dir "${feats_dir}/${set}/final" \
        --min_seconds "${min_seconds}" --max_seconds "${max_seconds}" "${opts[@]}"
}
