#!/usr/bin/env bash
# Distil a small model of OWSM's kind: its decoder is told language and task, and writes.
#
#   ./run.sh an4 --an4_audio DIR [--option value ...]     AN4, in ESPnet's own split
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
        source="--an4_audio $3 --nbpe 37"; shift 3 ;;
    generated) source="--generated --dev_utterances 4 --nbpe 21"; shift ;;
    *) echo "run.sh: say first what to train on: an4 --an4_audio DIR, or generated" >&2
        exit 2 ;;
esac

./task_kd.sh --task s2t --prepare_args "${source}" --shapes speech \
    --streams "wav.scp,speech,sound prompted,text,text before,text_prev,text text,text_ctc,text" \
    --task_args "--token_type bpe --bpemodel {data}/bpe/bpe.model \
        --token_list {data}/bpe/tokens.txt --cleaner none --g2p none" \
    --stats_args "--normalize none" --train_args "--normalize global_mvn \
        --normalize_conf stats_file={stats}/train/feats_stats.npz" \
    --teacher_config conf/teacher.yaml --student_config conf/student.yaml \
    --inference_model valid.acc.ave.pth --kd_config conf/kd.yaml "$@"
