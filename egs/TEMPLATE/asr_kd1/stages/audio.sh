#!/usr/bin/env bash
# Stage 2: an audio file an utterance, at every speed. Sourced by asr_kd.sh.
# shellcheck disable=SC2154  # variables come from asr_kd.sh
set -euo pipefail

make_plain_audio() {
    local set
    if [ -z "${kaldi_data}" ]; then return; fi
    log "Stage 2: audio of ${kaldi_data}; commands in wav.scp are run, segments are cut"
    for set in ${all_sets}; do make_plain_audio_of "${set}"; done
}

make_plain_audio_of() {
    local set=$1 from=${kaldi_data}/$1 made=${dumpdir}/audio_plain/$1 key opts=()
    key=("${from}/wav.scp" "${from}/segments" "${from}/text" "${from}/utt2spk" -- "${fs}"
        "${drop_bad_audio}")
    if is_fresh "${datadir}/${set}/.plain" "${key[@]}"; then return; fi
    if "${drop_bad_audio}"; then opts+=(--drop_bad_audio); fi
    # Copies at other speeds are of this audio; stage 2 keeps those that are there.
    rm -rf "${made}" "${dumpdir}/audio_sp/${set}"
    "${python}" "${pyscripts}/plain_audio.py" --data_dir "${from}" --fs "${fs}" \
        --output_dir "${datadir}/${set}" --audio_dir "${made}" --nj "${nj}" "${opts[@]}"
    mark_fresh "${datadir}/${set}/.plain" "${key[@]}"
}

perturb_speed() {
    local set
    if [ -z "${speed_perturb_factors}" ]; then return; fi
    log "Stage 2: speed perturbation by ${speed_perturb_factors}"
    for set in ${train_sets}; do
        # shellcheck disable=SC2086
        "${python}" "${pyscripts}/perturb_speed.py" --data_dir "${datadir}/${set}" \
            --output_dir "${datadir}/${set}_sp" --audio_dir "${dumpdir}/audio_sp/${set}" \
            --factors ${speed_perturb_factors}
    done
}
