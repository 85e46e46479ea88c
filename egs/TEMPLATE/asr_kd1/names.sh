#!/usr/bin/env bash
# What the data sets, directories and models of a run are called. Sourced by asr_kd.sh.
# The variables come from its options, and are read by its stages.
# shellcheck disable=SC2034,SC2154
set -euo pipefail

# unique WORD ...: the words, or lines of words, each once
unique() { printf '%s\n' "$@" | awk 'NF && !seen[$0]++'; }

# Data sets: as they come, and as they are trained on, with copies at other speeds.
corpus_dir=${librispeech_dir:-downloads/${corpus}}
_sp=${speed_perturb_factors:+_sp}
train_data=${train_set}${_sp}
student_data=${student_train_set}${_sp}
unlabelled_data=${unlabelled_set:+${unlabelled_set}${_sp}}
distilled_data=${student_data}${unlabelled_data:+_and_${unlabelled_data}}

train_sets=$(unique "${train_set}" "${student_train_set}" "${unlabelled_set}")
# shellcheck disable=SC2086
eval_sets=$(unique "${valid_set}" ${test_sets})
all_sets=$(unique "${train_sets}" "${eval_sets}")
final_sets=$(unique "${train_data}" "${student_data}" "${unlabelled_data}" "${eval_sets}")

# What a model reads.
if [ "${feats_type}" = raw ]; then
    feature_file=wav.scp; feature_kind=sound
    feature_opts=(--frontend_conf "fs=${fs}")
else
    feature_file=feats.scp; feature_kind=kaldi_ark
    feature_opts=(--input_size "${n_mels}")
fi
bpe_dir=${datadir}/token_list/bpe_${bpemode}${nbpe}
text_opts=(--use_preprocessor true --token_type bpe --bpemodel "${bpe_dir}/bpe.model"
    --token_list "${bpe_dir}/tokens.txt" --cleaner none --g2p none
    --non_linguistic_symbols none)

# What trains a model that nobody teaches, and one that somebody does. ESPnet's transducers
# need warprnnt_pytorch, which is not on PyPI: espnet_kd puts torchaudio's loss in its place.
trainer="-m espnet2.bin.${task}_train"
kd_trainer="-m espnet_kd ${trainer}"
if [ "${task}" = asr_transducer ]; then trainer=${kd_trainer}; fi

# Models, and what the teacher gives.
name_models asr
labels_dir=${teacher_exp}/labels/${unlabelled_data}
cache_dir() { echo "${teacher_exp}/targets/$1"; }
init_file=${teacher_exp}/init/$(basename "${student_config}" .yaml)$(suffix "${tag}").pth

# What helps every search.
lm_opts=()
if [ -n "${lm_exp}" ]; then
    lm_opts=(--lm_train_config "${lm_exp}/config.yaml" --lm_file "${lm_exp}/${lm_model}")
fi
stats_dir=${expdir}/asr_stats_${feats_type}_bpe${nbpe}
results_dir=${expdir}/results$(suffix "${tag}")
feats_dir=${dumpdir}/${feats_type}
# final SET: the directory that models read it from
final() {
    if [ -n "${unlabelled_data}" ] && [ "$1" = "${distilled_data}" ]; then
        echo "${teacher_exp}/labels/$1"
    elif [ -n "${prepared}" ]; then echo "${prepared}/$1"
    else echo "${feats_dir}/$1/final"
    fi
}
# features SET: the option value by which ESPnet reads them
features() { echo "$(final "$1")/${feature_file},speech,${feature_kind}"; }
# heard SET NAME: what the teacher hears of a set, as a stream of that name
heard() {
    local dir
    dir=$(final "$1")
    if [ -n "${teacher_hears}" ]; then dir=${teacher_hears}/$1/final; fi
    echo "${dir}/${feature_file},$2,${feature_kind}"
}
