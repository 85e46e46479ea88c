#!/usr/bin/env bash
# AN4 (42 minutes of real speech): small enough to train on two CPU cores.
#
#   ./run.sh [EXPERIMENT] --an4_dir DIR [--option value ...]     see ../../librispeech
#   ./run.sh audio|streaming|transducer --an4_audio DIR [--option value ...]
#   ./run.sh noisy --an4_audio DIR --noise DIR [--option value ...]
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
# From audio; kept apart, in data, dump and exp/audio, exp/transducer and exp/noisy:
# audio       teacher, control and distilled student: run_audio.sh
# streaming   students that answer while one speaks, of the same teacher: run_streaming.sh
# transducer  the same among transducers, with a teacher of their own: run_transducer.sh
# noisy       students that hear noise, of the teacher that hears none: run_noisy.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

experiment=hybrid
case "${1:-}" in
    audio | streaming | transducer | noisy) exec "./run_$1.sh" "${@:2}" ;;
    hybrid | cached | labels | scarce | table) experiment=$1; shift ;;
esac
if [ "${1:-}" != --an4_dir ] || [ $# -lt 2 ]; then
    echo "run.sh: --an4_dir DIR comes first: {train,dev,test}/{feats.ark,text,utt2spk}" >&2
    exit 2
fi
an4_dir=$2; shift 2

# shellcheck source=egs/TEMPLATE/asr_kd1/path.sh
. ./path.sh
if [ "${experiment}" = table ]; then
    ./run.sh scarce --an4_dir "${an4_dir}" --seeds "1 2 3" --train_jobs 2 \
        --test_sets "dev test" --stop_stage 13
    exec "${python}" "${pyscripts}/loss_table.py" --run "./run.sh scarce --an4_dir ${an4_dir}" \
        --control_tag scarce --student_layer encoder.encoders.1 \
        --teacher_layer encoder.encoders.2 "$@"
fi

if [ ! -f data/train_75/text ]; then
    "${python}" local/prepare.py --source "${an4_dir}" --output_dir data
fi
options=(--corpus an4 --nbpe 30 --prepared data --n_mels 39 --valid_set dev
    --test_sets test --train_set train --student_train_set train
    --teacher_config conf/teacher.yaml --student_config conf/student.yaml
    --kd_config conf/kd.yaml
    --inference_configs "conf/decode_beam.yaml conf/decode_ctc_greedy.yaml")
case "${experiment}" in
    cached) options+=(--cache_targets true --tag cached) ;;
    labels) options+=(--student_train_set train_25 --unlabelled_set train_75 --kd_config none
        --tag labels) ;;
    scarce) options+=(--student_train_set train_25 --student_config conf/student_quarter.yaml
        --kd_config conf/kd_scarce.yaml --tag scarce --control_tag scarce) ;;
esac

./asr_kd.sh "${options[@]}" "$@"
