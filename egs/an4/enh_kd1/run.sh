#!/usr/bin/env bash
# Distil a small enhancer of speech in noise: AN4's voices, noises of rain, sea, fire,
# helicopters, chainsaws and clocks. Voices and noises of the test set are its own.
#
#   ./run.sh an4 --an4_audio DIR --noise DIR [--option value ...]
#   ./run.sh generated [--option value ...]               a few signals, for a dry run
#
# A recogniser that was trained on AN4's features says how much of it is understood:
#   --evaluate_args "--asr_exp ../asr_kd1/exp/audio/asr_teacher_s1"
# The stages and all options: ./run.sh generated --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
case "${1:-}" in
    an4)
        if [ "${2:-}" != --an4_audio ] || [ "${4:-}" != --noise ] || [ $# -lt 5 ]; then
            echo "run.sh: --an4_audio DIR --noise DIR follow an4: train.tsv and test.tsv," \
                "and clips.tsv" >&2
            exit 2
        fi
        source="--an4_audio $3 --noise $5"; shift 5 ;;
    generated) source="--generated --dev_speakers 2"; shift ;;
    *) echo "run.sh: say first what to train on: an4 --an4_audio DIR --noise DIR, or" \
        "generated" >&2
        exit 2 ;;
esac

./task_kd.sh --task enh --prepare_args "${source}" \
    --streams "wav.scp,speech_mix,sound spk1.scp,speech_ref1,sound" \
    --task_args "--noise_scp {data}/train/noise.scp" \
    --teacher_config conf/teacher.yaml --student_config conf/student.yaml \
    --inference_model valid.snr_loss.ave.pth \
    --kd_config ../../../conf/kd/enhancement.yaml "$@"
