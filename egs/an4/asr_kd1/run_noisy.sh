#!/usr/bin/env bash
# AN4 with noise at 5 dB: students that hear the noise, taught by the teacher that hears the
# same utterances clean. Beside them stand the student alone, the student that starts from
# the teacher's parameters alone, and the one whose teacher hears the noise as well.
#
#   ./run_noisy.sh --an4_audio DIR --noise DIR [--option value ...]     see ./run.sh
#
# Noises of the test and of the validation are heard nowhere else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
if [ "${1:-}" != --an4_audio ] || [ "${3:-}" != --noise ] || [ $# -lt 4 ]; then
    echo "run.sh: --an4_audio DIR --noise DIR come first: AN4's lists, and clips.tsv" >&2
    exit 2
fi
an4_audio=$2; noise=$4; shift 4
# shellcheck source=egs/TEMPLATE/asr_kd1/path.sh
. ./path.sh
# shellcheck source=egs/an4/asr_kd1/local/stages.sh
. local/stages.sh

# A mistyped option is named before the teacher is trained, and help given.
template=$(dirname "$(readlink -f asr_kd.sh)")
said=$("${python}" "${template}/pyscripts/read_options.py" "${template}/asr_kd.sh" \
    --kaldi_data data/noisy/kaldi --train_set train_nodev --test_sets test \
    --student_train_set train_nodev --valid_set train_dev \
    --teacher_config conf/teacher_audio.yaml --student_config conf/student_audio.yaml \
    --kd_config conf/kd_audio.yaml --inference_configs conf/decode_ctc_greedy.yaml "$@")
if [[ "${said}" == printf* ]]; then eval "${said}"; fi

# The teacher, and what it hears.
./run_audio.sh --an4_audio "${an4_audio}" --stop_stage 8
if [ ! -f data/noisy/kaldi/train_nodev/wav.scp ]; then
    "${python}" local/add_noise.py --source data/audio/kaldi --noise "${noise}" \
        --output_dir data/noisy/kaldi
fi
# students TAG [--option value ...]
students() {
    ./run_audio.sh --an4_audio "${an4_audio}" --kaldi_data data/noisy/kaldi \
        --datadir data/noisy --dumpdir dump/noisy --expdir exp/noisy \
        --teacher_exp exp/audio/asr_teacher_s1 --init_student true --tag "$@"
}
# The gate lets pass a teacher that noise makes deaf.
if begins_by 11 "$@"; then
    students noisy --teacher_max_wer inf --kd_config conf/kd_audio.yaml \
        --parameters_control true --stop_stage 11 "$@"
fi
clean=(--control_tag noisy --kd_config conf/kd_audio_clean.yaml
    --teacher_hears dump/audio/fbank)
if goes_beyond 11 "$@"; then clean+=(--other_tags noisy); fi
students clean "${clean[@]}" "$@"
