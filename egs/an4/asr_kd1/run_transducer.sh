#!/usr/bin/env bash
# AN4 from audio among transducers: a teacher that hears utterances whole, and students that
# answer while one speaks, with its lessons, with its parameters alone, and without either.
# Students are decoded chunk by chunk; the results show word error rate against delay.
#
#   ./run_transducer.sh --an4_audio DIR [--option value ...]     see ./run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
if [ "${1:-}" != --an4_audio ] || [ $# -lt 2 ]; then
    echo "run.sh: --an4_audio DIR comes first: train.tsv, test.tsv and their audio" >&2
    exit 2
fi
./run_audio.sh --an4_audio "$2" --task asr_transducer --expdir exp/transducer \
    --teacher_config conf/teacher_transducer_audio.yaml \
    --student_config conf/student_transducer_streaming_audio.yaml \
    --kd_config conf/kd_transducer_streaming_audio.yaml \
    --init_student true --parameters_control true --streaming true --test_sets test \
    --inference_configs "conf/decode_transducer_greedy.yaml conf/decode_transducer_beam.yaml" \
    "${@:3}"
