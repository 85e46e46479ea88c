#!/usr/bin/env bash
# Distil a small speaker model of AN4's voices; those of dev and test are their own.
#
#   ./run.sh an4 --an4_audio DIR [--option value ...]     66 of AN4's 74 training voices
#   ./run.sh generated [--option value ...]               a few signals, for a dry run
#
# The stages and all options: ./run.sh generated --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
case "${1:-}" in
    an4)
        if [ "${2:-}" != --an4_audio ] || [ $# -lt 3 ]; then
            echo "run.sh: --an4_audio DIR follows an4: its train.tsv and test.tsv" >&2
            exit 2
        fi
        source="--an4_audio $3"; voices=66; shift 3 ;;
    generated) source="--generated --dev_speakers 2 --dev_pairs 8"; voices=4; shift ;;
    *) echo "run.sh: say first what to train on: an4 --an4_audio DIR, or generated" >&2
        exit 2 ;;
esac

# Lengths are known, and no front end takes the several pieces of an utterance: no stage 2.
./task_kd.sh --task spk --prepare_args "${source}" --ready_shapes speech_shape \
    --streams "wav.scp,speech,sound labels,spk_labels,text_int" \
    --valid_streams "wav.scp,speech,npy wav2.scp,speech2,npy labels,spk_labels,text_int" \
    --task_args "--spk2utt {data}/train/spk2utt --spk_num ${voices}" \
    --teacher_config conf/teacher.yaml --student_config conf/student.yaml \
    --inference_model valid.eer.ave.pth --kd_config ../../../conf/kd/speaker.yaml "$@"
