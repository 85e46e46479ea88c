#!/usr/bin/env bash
# Distil a language model of AN4's transcripts into one of an eighth of its size.
#
#   ./run.sh an4 --an4_audio DIR [--bpe_dir DIR] [--option value ...]   AN4's transcripts
#   ./run.sh generated [--option value ...]               sentences of the mini grammar
#
# With --bpe_dir the models are over a recogniser's tokens, whose search they then help
# (asr_kd.sh --lm_exp): ../asr_kd1/data/audio/token_list/bpe_unigram30 of AN4's.
# The stages and all options: ./run.sh generated --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
tokens="--nbpe 30"
case "${1:-}" in
    an4)
        if [ "${2:-}" != --an4_audio ] || [ $# -lt 3 ]; then
            echo "run.sh: --an4_audio DIR follows an4: its train.tsv and test.tsv" >&2
            exit 2
        fi
        source="--an4_audio $3"; shift 3
        if [ "${1:-}" = --bpe_dir ]; then
            tokens="--bpe_dir ${2:?run.sh: a folder follows --bpe_dir}"; shift 2
        fi ;;
    generated) source="--generated 400"; shift ;;
    *) echo "run.sh: say first what to train on: an4 --an4_audio DIR, or generated" >&2
        exit 2 ;;
esac

./task_kd.sh --task lm --prepare_args "${source} ${tokens}" --streams text,text,text \
    --task_args "--token_type bpe --bpemodel {data}/bpe/bpe.model \
        --token_list {data}/bpe/tokens.txt --cleaner none --g2p none" \
    --teacher_config conf/teacher.yaml --student_config conf/student.yaml \
    --kd_config ../../../conf/kd/language_model_student.yaml "$@"
