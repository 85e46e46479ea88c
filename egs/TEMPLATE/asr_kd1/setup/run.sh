#!/usr/bin/env bash
# Distil a student on a corpus of one's own. What to name is here; ./asr_kd.sh --help lists
# all options, and whatever is given to this script goes to it.
#
#   ./run.sh --kaldi_data DIR [--option value ...]
#
# DIR holds train, dev and test, each with wav.scp, text, utt2spk and perhaps segments.
# wav.scp may hold commands (ending in '|'): stage 2 runs them. conf/ is sized for an hour of
# speech; for a hundred, see egs/librispeech/asr_kd1/conf.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./asr_kd.sh --corpus mycorpus --fs 16000 --nbpe 100 --speed_perturb_factors "0.9 1.0 1.1" \
    --train_set train --student_train_set train --valid_set dev --test_sets test \
    --teacher_config conf/teacher.yaml --student_config conf/student.yaml \
    --kd_config conf/kd.yaml --init_student true \
    --inference_configs "conf/decode_beam.yaml conf/decode_ctc_greedy.yaml" "$@"
