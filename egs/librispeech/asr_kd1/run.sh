#!/usr/bin/env bash
# Distil a conformer student from a conformer teacher. Without options: the mini corpus,
# SYNTHETIC speech, on a plain CPU. Options given here override those below; see
#   ./run.sh --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./asr_kd.sh \
    --corpus mini \
    --train_set train_all \
    --student_train_set train_small \
    --valid_set dev \
    --test_sets test \
    --nbpe 240 \
    --train_jobs 2 \
    --teacher_config conf/mini/teacher.yaml \
    --student_config conf/mini/student.yaml \
    --kd_config conf/mini/kd.yaml \
    --inference_configs "conf/mini/decode_beam.yaml conf/mini/decode_ctc_greedy.yaml" \
    "$@"
