#!/usr/bin/env bash
# Distil an ASR student from a teacher, from data to scores. Called by a recipe's run.sh.
#
# Every stage can be run again: what is there and still valid is skipped, what is stale
# or unfinished is made anew, and training goes on from its last epoch.
set -euo pipefail

# shellcheck disable=SC2034  # the results show it
command="$0$(printf ' %q' "$@")"
template=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
log() { echo "$(date '+%Y-%m-%dT%H:%M:%S') ${*}" >&2; }

# Options are variables from here on. pyscripts/recipe_options.py lists them; they are read
# and checked before anything is installed or written, by the Python that is at hand.
_settings=$("${KD_PYTHON:-${PYTHON:-python3}}" "${template}/pyscripts/read_options.py" \
    "${template}/asr_kd.sh" "$@") || exit
eval "${_settings}"

# The recipe's own, beside its run.sh.
# shellcheck source=egs/TEMPLATE/asr_kd1/path.sh
. ./path.sh
# shellcheck source=egs/TEMPLATE/asr_kd1/cmd.sh
. ./cmd.sh

# What things are called, how results are marked and trainings run; the stages' functions.
for _part in utils/students names utils/{marks,asr_data,training,background} \
    stages/{data,audio,models,teacher,decoding,results,packing}; do
    # shellcheck source=/dev/null
    . "${template}/${_part}.sh"
done

# stage NUMBER TITLE FUNCTION: call the function if the stage was asked for
# shellcheck disable=SC2154  # options
on() { [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ]; }
stage() { if on "$1"; then "$3"; fi; }

# What would be missing hours later is said now.
if on 13; then "${python}" -m espnet_kd.bin.score --check; fi
check_other_tags

# stages/data.sh
stage 1 "data: download, verify, Kaldi-style directories" prepare_data
# stages/audio.sh
stage 2 "a file an utterance, of commands and segments (--kaldi_data)" make_plain_audio
stage 2 "speed perturbation" perturb_speed

# stages/data.sh
stage 3 "filter banks" extract_features
stage 4 "filter: drop too long, too short, empty" filter_data

# stages/models.sh
stage 5 "tokens" train_tokens
stage 6 "statistics" collect_all_statistics
stage 7 "teacher" train_teacher
stage 10 "control: the student alone, beside the teacher (--train_jobs above 1)" \
    train_controls_beside_teacher

# stages/teacher.sh
stage 8 "gate: decode the valid set with the teacher as the students hear it" check_teacher
stage 8 "the teacher's transcripts (--unlabelled_set)" transcribe_unlabelled
stage 8 "the teacher's targets (--cache_targets true)" cache_all_targets
stage 9 "the student's first parameters, from the teacher's (--init_student true)" \
    initialise_student

# stages/models.sh
stage 10 "control: the student alone, after the gate (--train_jobs 1)" train_controls
stage 11 "distilled student" train_distilled
stage 11 "control: the student with the teacher's parameters (--parameters_control true)" \
    train_parameters_controls
finish_all

# stages/decoding.sh
stage 12 "decoding" decode_all
stage 13 "scoring by sclite: WER, CER" score_all

# stages/results.sh
stage 14 "cost: size, speed, memory" measure_cost
stage 15 "results: RESULTS.md, and a page for the browser" report_results

# stages/packing.sh
stage 16 "packing; 8-bit weights and ONNX (--deploy true)" pack_students
log "done"
