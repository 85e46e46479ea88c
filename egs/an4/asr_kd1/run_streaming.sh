#!/usr/bin/env bash
# AN4 from audio: students that answer while one speaks, taught by the teacher that hears
# utterances whole. Beside the distilled one stand the student alone, with the teacher's
# parameters alone, with CTC's posteriors at the teacher's own frames, and with the
# consistency of two views in place of a teacher. All are decoded chunk by chunk; the results
# show word error rate against delay.
#
#   ./run_streaming.sh --an4_audio DIR [--option value ...]     see ./run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
if [ "${1:-}" != --an4_audio ] || [ $# -lt 2 ]; then
    echo "run.sh: --an4_audio DIR comes first: train.tsv, test.tsv and their audio" >&2
    exit 2
fi
an4_audio=$2; shift 2
# shellcheck source=egs/an4/asr_kd1/local/stages.sh
. local/stages.sh

# students TAG [--option value ...]: stages for the students of a tag, of one student_config
students() {
    ./run_audio.sh --an4_audio "${an4_audio}" --init_student true --streaming true \
        --student_config conf/student_audio_streaming.yaml --tag "$@"
}
main=(--parameters_control true --kd_config conf/kd_audio_streaming.yaml)
if begins_by 11 "$@"; then
    students streaming "${main[@]}" --stop_stage 11 "$@"
    students streaming_unshifted --control_tag streaming \
        --kd_config conf/kd_audio_streaming_unshifted.yaml --stop_stage 11 "$@"
    students streaming_cr --control_tag streaming --kd_config ../../../conf/kd/cr_ctc.yaml \
        --stop_stage 11 "$@"
fi
if goes_beyond 11 "$@"; then
    students streaming "${main[@]}" --other_tags "streaming_unshifted streaming_cr" \
        --test_sets test "$@"
fi
