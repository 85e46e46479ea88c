#!/usr/bin/env bash
# Stage 1, behind prepare.py: a recogniser of the voice, and how long every character is said
# by its alignment. Sourced by task_kd.sh; recogniser_config and max_cer come from run.sh.
# shellcheck disable=SC2034,SC2154  # variables come from task_kd.sh, and go to its functions
set -euo pipefail

# make_more_data: in a process of its own, where task_kd.sh's names mean the recogniser's
make_more_data() (
    local exp=${expdir}/recogniser mel_config=${teacher_config} options
    streams="text,text,text wav.scp,speech,sound" valid_streams=${streams}
    shapes="text speech" stats_dir=${expdir}/recogniser_stats
    trainer="-m espnet2.bin.asr_train" teacher_config=${recogniser_config}
    options=(--token_type char --token_list "${datadir}/tokens.txt")
    log "Stage 1: statistics for the recogniser"
    collect_statistics "${train_set}" "${options[@]}"
    log "Stage 1: recogniser; log: ${exp}/train.log"
    start "${exp}" "${train_set}" "${recogniser_config}" 1 "${trainer}" "${options[@]}" \
        --normalize global_mvn \
        --normalize_conf "stats_file=${stats_dir}/${train_set}/train/feats_stats.npz"
    finish_all
    align "${exp}" valid.cer_ctc.ave.pth "${mel_config}"
)

# align EXP FILE CONFIG: the durations of every set in frames of a tts config, by a recogniser
align() {
    local key=("${datadir}/.aligned" "$1/$2" "$3" local/{durations,recogniser}.py
        "${datadir}"/{dev,test,train}/text -- "${max_cer}")
    if is_fresh "${key[@]}"; then log "durations are there"; return; fi
    log "Stage 1: durations"
    "${python}" local/durations.py --exp "$1" --file "$2" --config "$3" \
        --data_dir "${datadir}" --max_cer "${max_cer}"
    mark_fresh "${key[@]}"
}
