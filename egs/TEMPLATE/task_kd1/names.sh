#!/usr/bin/env bash
# What data, directories and models of a run are called. Sourced by task_kd.sh.
# The variables come from its options, and are read by its stages.
# shellcheck disable=SC2034,SC2154
set -euo pipefail

trainer="-m espnet2.bin.${task}_train"
kd_trainer="-m espnet_kd ${trainer}"

# No student here starts from its teacher's parameters.
parameters_control=false
name_models "${task}"

stats_dir=${expdir}/${task}_stats
results_dir=${expdir}/results$(suffix "${tag}")
final() { echo "${datadir}/$1"; }

# Without streams of its own, the valid set has the training set's.
valid_streams=${valid_streams:-${streams}}
# The recipe's options may name data and statistics before these are there.
for _args in task_args stats_args train_args evaluate_args; do
    printf -v "${_args}" '%s' "${!_args//\{data\}/${datadir}}"
    printf -v "${_args}" '%s' "${!_args//\{stats\}/${stats_dir}/${train_set}}"
done

# set_data_opts SET: the streams of a training set and of the valid set, as ESPnet reads them
set_data_opts() {
    local stream
    data_opts=()
    for stream in ${streams}; do
        data_opts+=(--train_data_path_and_name_and_type "$(final "$1")/${stream}")
    done
    for stream in ${valid_streams}; do
        data_opts+=(--valid_data_path_and_name_and_type "$(final "${valid_set}")/${stream}")
    done
}
# set_data_key SET: the files that a result of this set depends on; the mark stands for what
# stage 1 made beside the streams, such as tokens
set_data_key() {
    local stream
    data_key=("${datadir}/.done")
    for stream in ${streams}; do data_key+=("$(final "$1")/${stream%%,*}"); done
    for stream in ${valid_streams}; do
        data_key+=("$(final "${valid_set}")/${stream%%,*}")
    done
}
# key_file SET: the file whose keys are the set's utterances
key_file() { echo "$(final "$1")/${streams%%,*}"; }
# What trainings say of the data's form comes as their options.
set_model_opts() { stats_settings=(); model_opts=(); }
# set_train_opts SET: the shapes of a set's utterances
set_train_opts() {
    local name
    train_opts=()
    if [ -n "${ready_shapes}" ]; then
        train_opts=(--train_shape_file "$(final "$1")/${ready_shapes}"
            --valid_shape_file "$(final "${valid_set}")/${ready_shapes}")
        return
    fi
    for name in ${shapes:-$(names_of "${streams}")}; do
        train_opts+=(--train_shape_file "${stats_dir}/$1/train/${name}_shape")
    done
    for name in ${shapes:-$(names_of "${valid_streams}")}; do
        train_opts+=(--valid_shape_file "${stats_dir}/$1/valid/${name}_shape")
    done
}
# names_of STREAMS: how the models call them
names_of() {
    local stream
    for stream in $1; do cut -d , -f 2 <<< "${stream}"; done
}
