#!/usr/bin/env bash
# AN4 from audio, in ESPnet's own split (848, 100 and 130 utterances), at three speeds: a
# teacher that stands beside published results, and students of a quarter of its size.
#
#   ./run_audio.sh --an4_audio DIR [--option value ...]     see ./run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
if [ "${1:-}" != --an4_audio ] || [ $# -lt 2 ]; then
    echo "run.sh: --an4_audio DIR comes first: train.tsv, test.tsv and their audio" >&2
    exit 2
fi
# shellcheck source=egs/TEMPLATE/asr_kd1/path.sh
. ./path.sh
"${python}" local/prepare_audio.py --source "$2" --output_dir data/audio/kaldi
./asr_kd.sh --corpus an4 --kaldi_data data/audio/kaldi --nbpe 30 --n_mels 40 \
    --datadir data/audio --dumpdir dump/audio --expdir exp/audio \
    --speed_perturb_factors "0.9 1.0 1.1" --train_set train_nodev \
    --student_train_set train_nodev --valid_set train_dev --test_sets "test train_dev" \
    --teacher_config conf/teacher_audio.yaml --student_config conf/student_audio.yaml \
    --kd_config conf/kd_audio.yaml \
    --inference_configs "conf/decode_beam_audio.yaml conf/decode_ctc_greedy.yaml" "${@:3}"
