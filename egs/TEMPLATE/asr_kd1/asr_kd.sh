#!/usr/bin/env bash
# Distil an ASR student from a teacher, from data to scores. Called by a recipe's run.sh.
#
#  1 data          2 speed perturbation   3 features         4 filter
#  5 tokens        6 statistics           7 teacher          8 teacher gate, its transcripts
#                                                              and targets
#  9 student's first parameters
# 10 control      11 distilled student   12 decoding        13 scoring
# 14 cost         15 results             16 packing
#
# Every stage can be run again: what is there and still valid is skipped, what is stale
# or unfinished is made anew, and training goes on from its last epoch.
set -euo pipefail

# General
stage=1
stop_stage=16
nj=2                       # parallel jobs of data, features and decoding
ngpu=0                     # GPUs of one node for training; 0 trains on the CPU
num_nodes=1                # nodes for training
train_threads=1            # CPU threads of one training
train_jobs=1               # trainings at once; with 2 the control is trained beside the
                           # teacher, which uses two cores better than two threads do
expdir=exp
dumpdir=dump
datadir=data

# Data
corpus=mini                # mini | mini_librispeech | librispeech
librispeech_dir=           # folder that holds the subsets; empty: downloads/
prepared=                  # folder of SET/{feats.scp or wav.scp,text,utt2spk} that are
                           # ready to train on: stages 1 to 4 have nothing to do
download=false             # let stage 1 download missing subsets
drop_bad_audio=false       # drop bad audio files instead of stopping
train_set=train_all        # of the teacher
student_train_set=train_small
valid_set=dev
test_sets="test"
unlabelled_set=            # audio whose transcripts, if any, are not read: stage 8 lets the
                           # teacher write them, and the distilled student trains on both
label_args=                # what is asked of them; see espnet_kd.bin.pseudo_label
fs=16000
feats_type=fbank           # fbank | raw
n_mels=80                  # of filter banks; the width of prepared features
speed_perturb_factors=     # e.g. "0.9 1.0 1.1"; empty: none
min_seconds=0.25           # less than an encoder's subsampling needs stops a training
max_seconds=30.0
mini_seed=0
mini_scale=1.0             # of the mini corpus' sentences

# Models
nbpe=120
bpemode=unigram
teacher_config=
teacher_exp=               # a teacher that is trained already; stage 7 has nothing to do
student_config=
kd_config=                 # none: the student has the teacher's transcripts or its first
                           # parameters, and no more of it
inference_configs=         # one or more; each is decoded and scored
inference_model=valid.acc.ave.pth
teacher_max_wer=50         # percent; stage 8 stops above it
seeds=1                    # of the students, one or more
teacher_seed=1
tag=                       # told apart from other students in expdir by this
control_tag=               # the tag of the controls that they are compared with; empty: the
                           # same; untagged: those of a run without a tag
teacher_args=              # more options for the teacher's training
student_args=              # more options for both students' trainings
kd_args=                   # more options for the distilled student's training
init_student=false         # stage 9: the distilled student starts from the teacher
init_args=                 # how; see espnet_kd.bin.init_student
cache_targets=false        # stage 8 writes the teacher's targets, stage 11 reads them
cache_args="--parts ctc,decoder"   # what is written; see espnet_kd.bin.cache_teacher

# Results
other_tags=                # of other trained students, which stand in the results beside
                           # these; 'untagged' names those without a tag
cost_utterances=20         # of the first test set, on which cost is measured
deploy=false               # stage 16 also writes 8-bit weights and ONNX graphs

command="$0 $*"
log() { echo "$(date '+%Y-%m-%dT%H:%M:%S') ${*}" >&2; }

_help() { sed -n '2,/^set -e/p' "$0" | sed '$d' | cut -c3-; echo "Options:";
    sed -n '/^# General/,/^log()/p' "$0" | grep '=' | sed 's/^/  --/'; }

while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) _help; exit 0 ;;
        --*)
            _name=${1#--}; _name=${_name//-/_}
            if ! grep -q "^${_name}=" "$0" || [ $# -lt 2 ]; then
                log "unknown option or missing value: $1 (see --help)"; exit 2
            fi
            printf -v "${_name}" '%s' "$2"; shift 2 ;;
        *) log "what is '$1'? (see --help)"; exit 2 ;;
    esac
done

# The recipe's own, beside its run.sh.
# shellcheck source=egs/TEMPLATE/asr_kd1/path.sh
. ./path.sh
# shellcheck source=egs/TEMPLATE/asr_kd1/cmd.sh
. ./cmd.sh

if [ "${kd_config}" = none ] && [ -z "${unlabelled_set}" ] && ! "${init_student}"; then
    log "--kd_config none needs --unlabelled_set or --init_student true: there is" \
        "nothing else to have from a teacher"; exit 2
fi
for _file in "${teacher_config}" "${student_config}" "${kd_config#none}" ${inference_configs}; do
    if [ -z "${_file}" ] && [ "${kd_config}" = none ]; then continue; fi
    if [ ! -f "${_file}" ]; then log "no such config: '${_file}'"; exit 2; fi
done
on() { [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ]; }
if on 13; then "${python}" -m espnet_kd.bin.score --check; fi

if [ -n "${prepared}" ] && [ -n "${speed_perturb_factors}" ]; then
    log "--prepared data is not perturbed here: clear --speed_perturb_factors"; exit 2
fi
corpus_dir=${librispeech_dir:-downloads/${corpus}}
train_data=${train_set}
student_data=${student_train_set}
unlabelled_data=${unlabelled_set}
# shellcheck disable=SC2086
train_sets=$(printf '%s\n' "${train_set}" "${student_train_set}" ${unlabelled_set} \
    | awk '!seen[$0]++')
if [ -n "${speed_perturb_factors}" ]; then
    train_data=${train_set}_sp
    student_data=${student_train_set}_sp
    unlabelled_data=${unlabelled_set:+${unlabelled_set}_sp}
fi
# What the distilled student trains on.
distilled_data=${student_data}${unlabelled_data:+_and_${unlabelled_data}}
all_sets=$(printf '%s\n' "${train_sets}" "${valid_set}" ${test_sets} | awk '!seen[$0]++')
# shellcheck disable=SC2086
fit_sets=$(printf '%s\n' "${train_data}" "${student_data}" ${unlabelled_data} "${valid_set}" \
    | awk '!seen[$0]++')
eval_sets=$(printf '%s\n' "${valid_set}" ${test_sets} | awk '!seen[$0]++')
bpe_dir=${datadir}/token_list/bpe_${bpemode}${nbpe}
stats_dir=${expdir}/asr_stats_${feats_type}_bpe${nbpe}
own_teacher=false
if [ -z "${teacher_exp}" ]; then
    own_teacher=true; teacher_exp=${expdir}/asr_teacher_s${teacher_seed}
fi
suffix() { if [ -n "$1" ] && [ "$1" != untagged ]; then echo "_$1"; fi; }
control_exp() { echo "${expdir}/asr_control$(suffix "${control_tag:-${tag}}")_s$1"; }
distilled_exp() { echo "${expdir}/asr_distilled$(suffix "$2")_s$1"; }
for _tag in ${other_tags}; do
    for _seed in ${seeds}; do
        _file=$(distilled_exp "${_seed}" "${_tag}")/${inference_model}
        if [ ! -f "${_file}" ]; then
            log "--other_tags ${_tag}: there is no ${_file}; train that student first"; exit 2
        fi
    done
done

if [ "${feats_type}" = raw ]; then
    feature_file=wav.scp; feature_kind=sound
    feature_opts=(--frontend_conf "fs=${fs}")
else
    feature_file=feats.scp; feature_kind=kaldi_ark
    feature_opts=(--input_size "${n_mels}")
fi
text_opts=(--use_preprocessor true --token_type bpe --bpemodel "${bpe_dir}/bpe.model"
    --token_list "${bpe_dir}/tokens.txt" --cleaner none --g2p none
    --non_linguistic_symbols none)

# shellcheck source=egs/TEMPLATE/asr_kd1/training.sh
. "${_template}/training.sh"
# shellcheck source=egs/TEMPLATE/asr_kd1/teaching.sh
. "${_template}/teaching.sh"

if on 1 && [ -z "${prepared}" ]; then
    log "Stage 1: data of ${corpus}: ${all_sets//$'\n'/ }"
    if [ "${corpus}" = mini ] && [ -z "${librispeech_dir}" ]; then
        _key=("${corpus_dir}/.done" "${pyscripts}/synthesise_mini.py"
            "${pyscripts}/mini_grammar.py" -- "${mini_seed}" "${mini_scale}")
        if ! is_fresh "${_key[@]}"; then
            log "the mini corpus is SYNTHETIC speech (espeak-ng), for showing, not for claims"
            "${python}" "${pyscripts}/synthesise_mini.py" --output_dir "${corpus_dir}" \
                --seed "${mini_seed}" --scale "${mini_scale}"
            mark_fresh "${_key[@]}"
        fi
    fi
    _opts=()
    if "${download}"; then _opts+=(--download); fi
    if "${drop_bad_audio}"; then _opts+=(--drop_bad_audio); fi
    # shellcheck disable=SC2086
    "${python}" "${pyscripts}/prepare_data.py" --corpus "${corpus}" --fs "${fs}" \
        --corpus_dir "${corpus_dir}" --output_dir "${datadir}" --sets ${all_sets} "${_opts[@]}"
fi

if on 2 && [ -n "${speed_perturb_factors}" ]; then
    log "Stage 2: speed perturbation by ${speed_perturb_factors}"
    for _set in ${train_sets}; do
        # shellcheck disable=SC2086
        "${python}" "${pyscripts}/perturb_speed.py" --data_dir "${datadir}/${_set}" \
            --output_dir "${datadir}/${_set}_sp" --audio_dir "${dumpdir}/audio_sp/${_set}" \
            --factors ${speed_perturb_factors}
    done
fi

if on 3 && [ "${feats_type}" = fbank ] && [ -z "${prepared}" ]; then
    log "Stage 3: ${n_mels}-dim filter banks, ${nj} jobs"
    for _set in $(printf '%s\n' "${fit_sets}" "${eval_sets}" | awk '!seen[$0]++'); do
        _out=${dumpdir}/fbank/${_set}
        _key=("${_out}/.done" "${datadir}/${_set}/wav.scp"
            "${datadir}/${_set}/utt2num_samples" -- "${fs}" "${n_mels}")
        if is_fresh "${_key[@]}"; then log "${_set}: features are there"; continue; fi
        _nj=$("${python}" "${pyscripts}/split_scp.py" "${datadir}/${_set}/wav.scp" \
            "${nj}" "${_out}/logdir/wav")
        ${train_cmd} JOB=1:"${_nj}" "${_out}/logdir/fbank.JOB.log" \
            "${python}" "${pyscripts}/extract_fbank.py" \
            --wav_scp "${_out}/logdir/wav.JOB.scp" --output "${_out}/feats.JOB" \
            --fs "${fs}" --n_mels "${n_mels}" \
            || { tail -n 5 "${_out}"/logdir/fbank.*.log >&2; exit 1; }
        _parts=(); for _n in $(seq "${_nj}"); do _parts+=("${_out}/feats.${_n}"); done
        "${python}" "${pyscripts}/merge_feats.py" --wav_scp "${datadir}/${_set}/wav.scp" \
            --output_dir "${_out}" "${_parts[@]}"
        mark_fresh "${_key[@]}"
    done
fi

feats_dir=${dumpdir}/${feats_type}
if on 4 && [ -z "${prepared}" ]; then
    log "Stage 4: drop too long, too short, empty"
    for _set in $(printf '%s\n' "${fit_sets}" "${eval_sets}" | awk '!seen[$0]++'); do
        _work=${feats_dir}/${_set}/org
        mkdir -p "${_work}"
        cp "${datadir}/${_set}"/{wav.scp,text,utt2spk,utt2num_samples} "${_work}"
        if [ "${feats_type}" = fbank ]; then
            cp "${feats_dir}/${_set}"/feats{.scp,_shape} "${_work}"
        fi
        _opts=()
        # An utterance that is evaluated is never dropped for its length.
        case " ${test_sets} " in *" ${_set} "*)
            _opts=(--keep_empty_text --min_seconds 0 --max_seconds inf) ;;
        esac
        if [ "${_set}" = "${unlabelled_data}" ]; then _opts=(--keep_empty_text); fi
        "${python}" "${pyscripts}/filter_data.py" --data_dir "${_work}" --fs "${fs}" \
            --output_dir "${feats_dir}/${_set}/final" \
            --min_seconds "${min_seconds}" --max_seconds "${max_seconds}" "${_opts[@]}"
    done
fi
labels_dir=${teacher_exp}/labels/${unlabelled_data}
final() {
    if [ -n "${unlabelled_data}" ] && [ "$1" = "${distilled_data}" ]; then
        echo "${teacher_exp}/labels/$1"
    elif [ -n "${prepared}" ]; then echo "${prepared}/$1"
    else echo "${feats_dir}/$1/final"
    fi
}

if on 5; then
    log "Stage 5: ${nbpe} ${bpemode} pieces from ${train_data}, shared by all models"
    _key=("${bpe_dir}/.done" "$(final "${train_data}")/text" -- "${nbpe}" "${bpemode}")
    if ! is_fresh "${_key[@]}"; then
        "${python}" "${pyscripts}/train_tokens.py" --text "$(final "${train_data}")/text" \
            --output_dir "${bpe_dir}" --nbpe "${nbpe}" --model_type "${bpemode}"
        mark_fresh "${_key[@]}"
    fi
fi

if on 6; then
    for _set in $(printf '%s\n' "${train_data}" "${student_data}" | awk '!seen[$0]++'); do
        log "Stage 6: statistics of ${_set}"
        collect_statistics "${_set}"
    done
fi

start_controls() {
    for _seed in ${seeds}; do
        _out=$(control_exp "${_seed}")
        log "Stage 10: control, the student alone, seed ${_seed}; log: ${_out}/train.log"
        # shellcheck disable=SC2086
        start "${_out}" "${student_data}" "${student_config}" "${_seed}" \
            "-m espnet2.bin.asr_train" ${student_args}
    done
}

if on 7 && "${own_teacher}"; then
    log "Stage 7: teacher on ${train_data}; log: ${teacher_exp}/train.log"
    # shellcheck disable=SC2086
    start "${teacher_exp}" "${train_data}" "${teacher_config}" "${teacher_seed}" \
        "-m espnet2.bin.asr_train" ${teacher_args}
fi

# The control needs no teacher; alone on the machine, it waits for the teacher's gate.
if on 10 && [ "${train_jobs}" -gt 1 ]; then start_controls; fi

if on 8; then
    while "${own_teacher}" && [ "${#running[@]}" -gt 0 ] \
        && [ ! -f "${teacher_exp}/.done" ]; do finish; done
    log "Stage 8: decode ${valid_set} with the teacher as the students will hear it"
    "${python}" -m espnet_kd.bin.check_teacher --exp "${teacher_exp}" \
        --file "${inference_model}" --max_wer "${teacher_max_wer}" --ngpu "${ngpu}" \
        --data_path_and_name_and_type \
        "$(final "${valid_set}")/${feature_file},speech,${feature_kind}" \
        --text "$(final "${valid_set}")/text" --output "${teacher_exp}/gate.json"
fi

if on 8 && [ -n "${unlabelled_data}" ]; then
    log "Stage 8: the teacher transcribes ${unlabelled_data}, ${nj} jobs; logs: ${labels_dir}/logdir"
    transcribe "${unlabelled_data}" "${labels_dir}"
    "${python}" "${pyscripts}/combine_data.py" --output_dir "$(final "${distilled_data}")" \
        "$(final "${student_data}")" "${labels_dir}"
    collect_statistics "${distilled_data}"
fi

cache_dir() { echo "${teacher_exp}/targets/$1"; }
if on 8 && "${cache_targets}"; then
    for _set in "${distilled_data}" "${valid_set}"; do
        log "Stage 8: the teacher's targets of ${_set}, ${nj} jobs; logs: $(cache_dir "${_set}")/logdir"
        cache "${_set}" "$(cache_dir "${_set}")"
    done
fi

init_file=${teacher_exp}/init/$(basename "${student_config}" .yaml)$(suffix "${tag}").pth
if on 9 && "${init_student}"; then
    log "Stage 9: the student's first parameters, from the teacher's: ${init_file%.pth}.md"
    initialise "${init_file}"
fi

if on 10 && [ "${train_jobs}" -le 1 ]; then start_controls; fi

if on 11; then
    _launcher="-m espnet2.bin.asr_train"; _kd=()
    if [ "${kd_config}" != none ]; then
        _launcher="-m espnet_kd -m espnet2.bin.asr_train"; _kd=(--kd_conf "${kd_config}")
        _option=$("${python}" "${pyscripts}/teacher_option.py" --kd_config "${kd_config}" \
            --exp "${teacher_exp}" --file "${inference_model}")
        if [ -n "${_option}" ]; then _kd+=(--kd_conf "${_option}"); fi
        if [ -n "${_option}" ] && "${cache_targets}"; then
            _kd+=(--kd_conf
                "targets=[$(cache_dir "${distilled_data}"), $(cache_dir "${valid_set}")]")
        fi
    fi
    if "${init_student}"; then _kd+=(--init_param "${init_file}"); fi
    for _seed in ${seeds}; do
        _out=$(distilled_exp "${_seed}" "${tag}")
        log "Stage 11: distilled student, seed ${_seed}; log: ${_out}/train.log"
        # shellcheck disable=SC2086
        start "${_out}" "${distilled_data}" "${student_config}" "${_seed}" \
            "${_launcher}" "${_kd[@]}" ${student_args} ${kd_args}
    done
fi
finish_all

# models: role, seed and directory of every trained model, a line each
models() {
    echo "teacher ${teacher_seed} ${teacher_exp}"
    for _seed in ${seeds}; do
        echo "control ${_seed} $(control_exp "${_seed}")"
        echo "distilled ${_seed} $(distilled_exp "${_seed}" "${tag}")"
        for _tag in ${other_tags}; do
            echo "distilled:${_tag} ${_seed} $(distilled_exp "${_seed}" "${_tag}")"
        done
    done
}
# decodings: model directory, test set, inference config, output directory
decodings() {
    models | while read -r _role _seed _dir; do
        for _set in ${test_sets}; do
            for _conf in ${inference_configs}; do
                _name=$(basename "${_conf}" .yaml)
                echo "${_dir} ${_set} ${_conf} ${_dir}/${_name}/${_set} ${_role} ${_seed}"
            done
        done
    done
}

if on 12; then
    decodings | while read -r _dir _set _conf _out _role _seed; do
        _key=("${_out}/.done" "${_dir}/${inference_model}" "${_conf}"
            "$(final "${_set}")/${feature_file}")
        if is_fresh "${_key[@]}"; then log "${_out}: decoded already"; continue; fi
        log "Stage 12: decode ${_set} with ${_dir##*/}, $(basename "${_conf}")"
        rm -rf "${_out}"
        _nj=$("${python}" "${pyscripts}/split_scp.py" "$(final "${_set}")/${feature_file}" \
            "${nj}" "${_out}/logdir/keys")
        ${decode_cmd} JOB=1:"${_nj}" "${_out}/logdir/asr_inference.JOB.log" \
            "${python}" -m espnet2.bin.asr_inference --ngpu 0 --batch_size 1 \
            --config "${_conf}" --key_file "${_out}/logdir/keys.JOB.scp" \
            --data_path_and_name_and_type \
            "$(final "${_set}")/${feature_file},speech,${feature_kind}" \
            --asr_train_config "${_dir}/config.yaml" \
            --asr_model_file "${_dir}/${inference_model}" --output_dir "${_out}/logdir/output.JOB" \
            < /dev/null || { tail -n 20 "${_out}"/logdir/asr_inference.*.log >&2; exit 1; }
        sort "${_out}"/logdir/output.*/1best_recog/text > "${_out}/text.partial"
        mv "${_out}/text.partial" "${_out}/text"
        mark_fresh "${_key[@]}"
    done
fi

if on 13; then
    log "Stage 13: score by sclite"
    decodings | while read -r _dir _set _conf _out _role _seed; do
        "${python}" -m espnet_kd.bin.score --data_dir "$(final "${_set}")" \
            --decode_dir "${_out}" > /dev/null
    done
fi

results_dir=${expdir}/results$(suffix "${tag}")
measured=("${teacher_exp}" "$(control_exp "${seeds%% *}")" "$(distilled_exp "${seeds%% *}" "${tag}")")
cost_key=("${results_dir}/cost.done" "${measured[@]/%//${inference_model}}"
    "${inference_configs%% *}" -- "${cost_utterances}")
if on 14 && ! is_fresh "${cost_key[@]}"; then
    log "Stage 14: size, speed and memory of teacher and students; log: ${results_dir}/cost.log"
    mkdir -p "${results_dir}"
    _models=(); for _dir in "${measured[@]}"; do _models+=(--exp "${_dir}"); done
    "${python}" -m espnet_kd.bin.measure "${_models[@]}" --file "${inference_model}" \
        --data_path_and_name_and_type \
        "$(final "${test_sets%% *}")/${feature_file},speech,${feature_kind}" \
        --inference_config "${inference_configs%% *}" --utterances "${cost_utterances}" \
        --output "${results_dir}/cost.json" > "${results_dir}/cost.log" 2>&1 \
        || { tail -n 5 "${results_dir}/cost.log" >&2; exit 1; }
    mark_fresh "${cost_key[@]}"
fi

if on 15; then
    log "Stage 15: results"
    _runs=()
    while read -r _dir _set _conf _out _role _seed; do
        _runs+=(--run "${_role},${_seed},$(basename "${_conf}" .yaml),${_set},${_dir},${_out}")
    done < <(decodings)
    if is_fresh "${cost_key[@]}"; then _runs+=(--cost "${results_dir}/cost.json"); fi
    "${python}" -m espnet_kd.bin.report "${_runs[@]}" --corpus "${corpus}" \
        --command "${command}" --output_dir "${results_dir}"
    log "written: RESULTS.md, report.html and wer_by_size.png in ${results_dir}"
fi

if on 16; then
    for _seed in ${seeds}; do
        _dir=$(distilled_exp "${_seed}" "${tag}")
        log "Stage 16: pack ${_dir##*/}"
        "${python}" -m espnet2.bin.pack asr --asr_train_config "${_dir}/config.yaml" \
            --asr_model_file "${_dir}/${inference_model}" \
            --option "${bpe_dir}/bpe.model" \
            --option "${stats_dir}/${train_data}/train/feats_stats.npz" \
            --outpath "${_dir}/packed.zip.partial.zip" > "${_dir}/pack.log" 2>&1 \
            || { tail -n 20 "${_dir}/pack.log" >&2; exit 1; }
        mv "${_dir}/packed.zip.partial.zip" "${_dir}/packed.zip"
        if ! "${deploy}"; then continue; fi
        for _tool in quantize export_onnx; do
            _key=("${_dir}/${_tool}.done" "${_dir}/${inference_model}")
            if is_fresh "${_key[@]}"; then log "${_tool} ${_dir##*/}: is there"; continue; fi
            log "Stage 16: ${_tool} ${_dir##*/}; log: ${_dir}/${_tool}.log"
            "${python}" -m "espnet_kd.bin.${_tool}" --exp "${_dir}" --file "${inference_model}" \
                --data_path_and_name_and_type \
                "$(final "${valid_set}")/${feature_file},speech,${feature_kind}" \
                > "${_dir}/${_tool}.log" 2>&1 \
                || { tail -n 5 "${_dir}/${_tool}.log" >&2; exit 1; }
            mark_fresh "${_key[@]}"
        done
    done
fi
log "done"
