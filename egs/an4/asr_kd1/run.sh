#!/usr/bin/env bash
# AN4 (42 minutes of real speech): small enough to train on two CPU cores.
#
#   ./run.sh [EXPERIMENT] --an4_dir DIR [--option value ...]     see ../../librispeech
#   ./run.sh audio --an4_audio DIR [--option value ...]
#
# From features (39 coefficients):
# hybrid   (default) teacher, control and distilled student on all of AN4
# cached   the same student, from the teacher's targets on disk
# labels   a quarter is transcribed: the control has just that, the other student also the
#          rest of the audio, with the teacher's transcripts (sequence-level distillation)
# scarce   students of a quarter of the teacher's size have a quarter of its transcripts and
#          no more: what of the teacher makes up for that? (see RESULTS.md)
# table    every loss in the place of that, each at the best of its weights; what follows goes
#          to loss_table.py
#
# From audio, in ESPnet's own split (848, 100 and 130 utterances), at three speeds:
# audio    a teacher that stands beside published results, and students of a quarter of its
#          size; everything is kept apart, in data/audio, dump/audio and exp/audio
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

experiment=hybrid
case "${1:-}" in
    hybrid | cached | labels | scarce | table | audio) experiment=$1; shift ;;
esac
case "${experiment}" in
    audio) source_option=--an4_audio; holds="train.tsv, test.tsv and the audio they list" ;;
    *) source_option=--an4_dir; holds="{train,dev,test}/{feats.ark,text,utt2spk}" ;;
esac
if [ "${1:-}" != "${source_option}" ] || [ $# -lt 2 ]; then
    echo "run.sh: ${source_option} DIR comes first: a folder of ${holds}" >&2
    exit 2
fi
source_dir=$2; shift 2

# shellcheck source=egs/TEMPLATE/asr_kd1/path.sh
. ./path.sh
options=(--corpus an4 --nbpe 30
    --inference_configs "conf/decode_beam.yaml conf/decode_ctc_greedy.yaml")
if [ "${experiment}" = audio ]; then
    if [ ! -f data/audio/train_nodev/text ]; then
        "${python}" local/prepare_audio.py --source "${source_dir}" --output_dir data/audio
    fi
    # Stage 1 is done; the template's knows corpora in LibriSpeech's layout.
    options+=(--stage 2 --datadir data/audio --dumpdir dump/audio --expdir exp/audio
        --n_mels 40 --speed_perturb_factors "0.9 1.0 1.1" --train_set train_nodev
        --student_train_set train_nodev --valid_set train_dev --test_sets "test train_dev"
        --teacher_config conf/teacher_audio.yaml --student_config conf/student_audio.yaml
        --kd_config conf/kd_audio.yaml
        --inference_configs "conf/decode_beam_audio.yaml conf/decode_ctc_greedy.yaml")
    exec ./asr_kd.sh "${options[@]}" "$@"
fi

if [ "${experiment}" = table ]; then
    ./run.sh scarce --an4_dir "${source_dir}" --seeds "1 2 3" --train_jobs 2 \
        --test_sets "dev test" --stop_stage 13
    exec "${python}" "${pyscripts}/loss_table.py" --run "./run.sh scarce --an4_dir ${source_dir}" \
        --control_tag scarce --student_layer encoder.encoders.1 \
        --teacher_layer encoder.encoders.2 "$@"
fi

if [ ! -f data/train_75/text ]; then
    "${python}" local/prepare.py --source "${source_dir}" --output_dir data
fi
options+=(--prepared data --n_mels 39 --valid_set dev --test_sets test
    --train_set train --student_train_set train --teacher_config conf/teacher.yaml
    --student_config conf/student.yaml --kd_config conf/kd.yaml)
case "${experiment}" in
    cached) options+=(--cache_targets true --tag cached) ;;
    labels) options+=(--student_train_set train_25 --unlabelled_set train_75 --kd_config none
        --tag labels) ;;
    scarce) options+=(--student_train_set train_25 --student_config conf/student_quarter.yaml
        --kd_config conf/kd_scarce.yaml --tag scarce --control_tag scarce) ;;
esac

./asr_kd.sh "${options[@]}" "$@"
