#!/usr/bin/env bash
# With what data and options ESPnet trains a recogniser. Sourced by asr_kd.sh; training.sh
# calls these functions.
# shellcheck disable=SC2034,SC2154  # variables come from asr_kd.sh, and go to training.sh
set -euo pipefail

# set_data_opts SET: the options of ESPnet's training for a training set and the valid set
set_data_opts() {
    data_opts=(
        --train_data_path_and_name_and_type "$(features "$1")"
        --train_data_path_and_name_and_type "$(final "$1")/text,text,text"
        --valid_data_path_and_name_and_type "$(features "${valid_set}")"
        --valid_data_path_and_name_and_type "$(final "${valid_set}")/text,text,text")
}
# set_data_key SET: the files that a result of this set depends on
set_data_key() {
    data_key=("$(final "$1")/${feature_file}" "$(final "$1")/text"
        "$(final "${valid_set}")/text" "${bpe_dir}/tokens.txt")
}
# key_file SET: the file whose keys are the set's utterances
key_file() { echo "$(final "$1")/${feature_file}"; }

# check_language_model: refuse one that speaks of other tokens
check_language_model() {
    if [ -z "${lm_exp}" ]; then return; fi
    "${python}" "${pyscripts}/check_lm.py" --lm_exp "${lm_exp}" --asr_exp "${teacher_exp}"
}

# set_model_opts: what all trainings say of the data's form; statistics depend on the first
set_model_opts() {
    stats_settings=("${feature_opts[@]}")
    model_opts=("${feature_opts[@]}" "${text_opts[@]}")
}

# set_train_opts SET: what a training says beside; set_data_opts' data and their shapes
set_train_opts() {
    local stats=${stats_dir}/$1
    # Every model is normalised by the teacher's statistics: posteriors then compare.
    train_opts=(--normalize global_mvn
        --normalize_conf "stats_file=${stats_dir}/${train_data}/train/feats_stats.npz"
        --train_shape_file "${stats}/train/speech_shape"
        --train_shape_file "${stats}/train/text_shape"
        --valid_shape_file "${stats}/valid/speech_shape"
        --valid_shape_file "${stats}/valid/text_shape")
}
