#!/usr/bin/env bash
# Distil a student of any task from a teacher, from data to a table. Called by a recipe's
# run.sh; the recipe's local/prepare.py makes data, its local/evaluate.py measures a model.
#
# Every stage can be run again: what is there and still valid is skipped, what is stale
# or unfinished is made anew, and training goes on from its last epoch.
set -euo pipefail

# shellcheck disable=SC2034  # the results show it
command="$0$(printf ' %q' "$@")"
template=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
asr=${template}/../asr_kd1
log() { echo "$(date '+%Y-%m-%dT%H:%M:%S') ${*}" >&2; }

# Options are variables from here on; pyscripts/task_options.py lists them.
export PYTHONPATH=${template}/pyscripts:${asr}/pyscripts${PYTHONPATH:+:${PYTHONPATH}}
_settings=$("${KD_PYTHON:-${PYTHON:-python3}}" "${template}/pyscripts/task_options.py" \
    "${template}/task_kd.sh" "$@") || exit
eval "${_settings}"

# shellcheck source=egs/TEMPLATE/asr_kd1/path.sh
. "${asr}/path.sh"
# shellcheck source=egs/TEMPLATE/asr_kd1/cmd.sh
. ./cmd.sh

# What things are called, how results are marked and trainings run; the stages' functions.
for _part in "${asr}/utils/students" "${template}/names" \
    "${asr}"/utils/{marks,training,background} \
    "${template}"/{models,results}; do
    # shellcheck source=/dev/null
    . "${_part}.sh"
done

# stage NUMBER TITLE FUNCTION: call the function if the stage was asked for
# shellcheck disable=SC2154  # options
on() { [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ]; }
stage() { if on "$1"; then "$3"; fi; }

check_other_tags

# models.sh
stage 1 "data, by the recipe's local/prepare.py" prepare_data
stage 2 "statistics" collect_all_statistics
stage 3 "teacher" train_teacher
stage 4 "control: the student alone, beside the teacher (--train_jobs above 1)" \
    train_controls_beside_teacher
stage 4 "control: the student alone, after the teacher (--train_jobs 1)" train_controls
stage 5 "distilled student" train_distilled
finish_all

# results.sh
stage 6 "evaluation, by the recipe's local/evaluate.py" evaluate_all
stage 7 "results: RESULTS.md" report_results
log "done"
