#!/usr/bin/env bash
# Distil a FastSpeech2 of one German voice into one of a quarter of its size.
#
#   ./run.sh voice --voice DIR [--option value ...]    utterances.tsv and the audio it lists
#   ./run.sh generated [--option value ...]            chords for letters: does it all run?
#
# A recogniser of the voice comes first (local/more_data.sh): by its alignment every
# character gets its duration, and later it hears what is synthesised.
# The stages and all options: ./run.sh generated --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export recogniser_config max_cer
case "${1:-}" in
    voice)
        if [ "${2:-}" != --voice ] || [ $# -lt 3 ]; then
            echo "run.sh: --voice DIR follows voice: its utterances.tsv and audio" >&2
            exit 2
        fi
        source="--source $3"; conf=conf; max_cer=25; shift 3 ;;
    generated) source="--generated 14 --held_out 3"; conf=conf/tiny; max_cer=1000; shift ;;
    *) echo "run.sh: say first what to train on: voice --voice DIR, or generated" >&2
        exit 2 ;;
esac
recogniser_config=${conf}/recogniser.yaml

# Pitch and energy of every character are collected with the statistics.
collected="" normalised="--normalize global_mvn --normalize_conf stats_file={stats}/train/feats_stats.npz"
for kind in pitch energy; do
    for set in train valid; do
        collected+=" --${set}_data_path_and_name_and_type {stats}/${set}/collect_feats/${kind}.scp,${kind},npy"
    done
    normalised+=" --${kind}_normalize global_mvn --${kind}_normalize_conf stats_file={stats}/train/${kind}_stats.npz"
done

./task_kd.sh --task tts --prepare_args "${source}" \
    --streams "text,text,text wav.scp,speech,sound durations,durations,text_int" \
    --shapes "text speech" \
    --task_args "--token_type char --token_list {data}/tokens.txt --cleaner none --g2p none" \
    --stats_args "--normalize none --pitch_normalize none --energy_normalize none \
        --write_collected_feats true" \
    --train_args "${normalised}${collected}" \
    --evaluate_args "--recogniser exp/recogniser/valid.cer_ctc.ave.pth \
        --vocoder_config conf/vocoder.yaml" \
    --teacher_config "${conf}/teacher.yaml" --student_config "${conf}/student.yaml" \
    --kd_config ../../../conf/kd/synthesis.yaml "$@"
