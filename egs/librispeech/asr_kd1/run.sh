#!/usr/bin/env bash
# Distil a student from a teacher. Names and options only; the stages are in asr_kd.sh.
#
#   ./run.sh [EXPERIMENT] [--option value ...]      options override; see ./run.sh --help
#
# mini     (default) the embedded corpus: SYNTHETIC speech, plain CPU, minutes
# clean5   Transformer teacher on train-clean-100, student of half its layers and half its
#          width on train-clean-5: the experiment to beat (5.8 % and 6.5 % on test-clean)
# 100h     conformer teacher and student on train-clean-100, as ESPnet's librispeech_100
# 960h     conformer teacher on 960 h, student on the same
#
# All but mini need LibriSpeech (--librispeech_dir, or --download true) and a GPU (--ngpu 1).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

experiment=mini
case "${1:-}" in
    mini | clean5 | 100h | 960h) experiment=$1; shift ;;
esac

libri=(--corpus librispeech --feats_type raw --nbpe 5000 --test_sets "test_clean test_other"
    --valid_set dev --kd_config ../../../conf/kd/hybrid.yaml --teacher_max_wer 25
    --inference_configs "conf/decode/beam20.yaml conf/decode/ctc_greedy.yaml")
case "${experiment}" in
    mini)
        # Of the audio that the teacher learned from, the students have 280 transcripts; the
        # distilled one hears the rest too. Seven epochs of all are 45 of these, in updates.
        options=(--corpus mini --train_set train_all --student_train_set train_few
            --unlabelled_set train_rest --unlabelled_args "--max_epoch 7"
            --valid_set dev --test_sets test --nbpe 240 --train_jobs 2
            --teacher_config conf/mini/teacher.yaml
            --student_config conf/mini/student.yaml --kd_config conf/mini/kd.yaml
            --init_student true --parameters_control true
            --inference_configs "conf/mini/decode_beam.yaml conf/mini/decode_ctc_greedy.yaml") ;;
    clean5)
        options=("${libri[@]}" --train_set train_clean_100 --student_train_set train_clean_5
            --speed_perturb_factors "0.9 1.0 1.1"
            --teacher_config conf/100h/teacher_transformer.yaml
            --student_config conf/100h/student_transformer.yaml) ;;
    100h)
        options=("${libri[@]}" --train_set train_clean_100 --student_train_set train_clean_100
            --speed_perturb_factors "0.9 1.0 1.1"
            --teacher_config conf/100h/teacher_conformer.yaml
            --student_config conf/100h/student_conformer.yaml) ;;
    960h)
        options=("${libri[@]}" --train_set train_960 --student_train_set train_960
            --speed_perturb_factors "0.9 1.0 1.1" --teacher_max_wer 15
            --teacher_config conf/960h/teacher_conformer.yaml
            --student_config conf/960h/student_conformer.yaml) ;;
esac

./asr_kd.sh "${options[@]}" "$@"
