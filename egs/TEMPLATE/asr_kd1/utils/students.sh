#!/usr/bin/env bash
# What the models of a run are called, and which there are. Sourced by asr_kd.sh, and by
# scripts of other tasks.
# shellcheck disable=SC2154  # variables come from there
set -euo pipefail

# suffix TAG: what a tag adds to a name
suffix() { if [ -n "$1" ] && [ "$1" != untagged ]; then echo "_$1"; fi; }

# name_models PREFIX: how all models' directories begin; where the teacher is
# shellcheck disable=SC2034  # the stages read these
name_models() {
    model_prefix=$1 own_teacher=false
    if [ -z "${teacher_exp}" ]; then
        own_teacher=true; teacher_exp=${expdir}/${model_prefix}_teacher_s${teacher_seed}
    fi
}
# student ROLE TAG SEED
student() { echo "${expdir}/${model_prefix}_$1$(suffix "$2")_s$3"; }
control_exp() { student control "${control_tag:-${tag}}" "$1"; }
parameters_exp() { student parameters "${tag}" "$1"; }
# distilled_exp SEED [TAG]: of this run, or of a run with another tag
distilled_exp() { student distilled "${2-${tag}}" "$1"; }

# models: role, seed and directory of every trained model, a line each
models() {
    local seed other
    echo "teacher ${teacher_seed} ${teacher_exp}"
    for seed in ${seeds}; do
        echo "control ${seed} $(control_exp "${seed}")"
        if "${parameters_control}"; then
            echo "parameters ${seed} $(parameters_exp "${seed}")"
        fi
        echo "distilled ${seed} $(distilled_exp "${seed}")"
        for other in ${other_tags}; do
            echo "distilled:${other} ${seed} $(distilled_exp "${seed}" "${other}")"
        done
    done
}

# check_other_tags: students that the results are to show are there
check_other_tags() {
    local other seed file
    for other in ${other_tags}; do
        for seed in ${seeds}; do
            file=$(distilled_exp "${seed}" "${other}")/${inference_model}
            if [ ! -f "${file}" ]; then
                log "--other_tags ${other}: there is no ${file}; train that student first"
                exit 2
            fi
        done
    done
}
