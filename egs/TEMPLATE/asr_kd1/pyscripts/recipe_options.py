"""The options of asr_kd.sh: name, default, what values are good, what the option is for.

A new option is a line here; asr_kd.sh and its stages then find a variable of its name.
"""

from __future__ import annotations

from option_kinds import (
    anything,
    boolean,
    choice,
    config,
    folder,
    name,
    number,
    optional,
    path,
    several,
    whole,
)
from option_table import Option, Table
from recipe_rules import RULES

GENERAL = (
    Option("stage", "1", whole(0), "The run begins with this stage."),
    Option("stop_stage", "16", whole(0), "The run ends with this stage."),
    Option("nj", "2", whole(), "Data, features and decoding are shared by N jobs."),
    Option("ngpu", "0", whole(0), "A training uses N GPUs of a node; 0 is the CPU."),
    Option("num_nodes", "1", whole(), "A training is spread over N nodes."),
    Option("train_threads", "1", whole(), "A training uses N CPU threads."),
    Option(
        "train_jobs",
        "1",
        whole(),
        "N trainings run at once. With 2 the control is trained beside the teacher, "
        "which uses two cores better than two threads do.",
    ),
    Option("expdir", "exp", path(), "Models, scores and results are written here."),
    Option("dumpdir", "dump", path(), "Features and perturbed audio are written here."),
    Option("datadir", "data", path(), "Data directories and token lists are written here."),
)

DATA = (
    Option(
        "corpus",
        "mini",
        name(),
        "Stage 1 prepares this corpus: mini, mini_librispeech or librispeech. The results "
        "carry its name.",
    ),
    Option(
        "librispeech_dir",
        "",
        anything(),
        "The corpus' subsets lie in this folder; without it in downloads/CORPUS.",
    ),
    Option(
        "prepared",
        "",
        optional(folder()),
        "This folder holds SET/{feats.scp or wav.scp,text,utt2spk}, ready to train on; "
        "stages 1 to 4 then have nothing to do.",
    ),
    Option(
        "kaldi_data",
        "",
        optional(folder()),
        "This folder holds SET/{wav.scp,text,utt2spk}, perhaps with segments, as Kaldi's "
        "and ESPnet's recipes write them. Stage 1 then has nothing to do; stage 2 runs the "
        "commands that wav.scp holds and cuts the segments.",
    ),
    Option("download", "false", boolean(), "Stage 1 may download subsets."),
    Option(
        "drop_bad_audio",
        "false",
        boolean(),
        "Stage 1 drops bad audio files instead of stopping at them.",
    ),
    Option("train_set", "train_all", name(), "The teacher is trained on this set."),
    Option(
        "student_train_set", "train_small", name(), "The students are trained on this set."
    ),
    Option("valid_set", "dev", name(), "All trainings are validated on this set."),
    Option("test_sets", "test", several(name()), "Every model is scored on these sets."),
    Option(
        "unlabelled_set",
        "",
        optional(name()),
        "This set is audio whose transcripts, if any, are not read: stage 8 lets the "
        "teacher write them, and the distilled student trains on them too.",
    ),
    Option(
        "label_args",
        "",
        anything(),
        "These options of espnet_kd.bin.pseudo_label say what is asked of such "
        "transcripts.",
    ),
    Option(
        "teacher_hears",
        "",
        optional(folder()),
        "The teacher hears other audio of the same utterances than the students, such as "
        "clean speech: SET/final of this folder, which is another run's dump/fbank. The "
        "kd_config's teacher hears: teacher_speech.",
    ),
    Option("fs", "16000", whole(), "The audio has N samples a second."),
    Option(
        "feats_type",
        "fbank",
        choice("fbank", "raw"),
        "The models read filter banks, or make their own features of raw audio.",
    ),
    Option(
        "n_mels",
        "80",
        whole(),
        "Filter banks have N bins; prepared features have this width.",
    ),
    Option(
        "speed_perturb_factors",
        "",
        optional(several(number())),
        'Training sets are copied at these speeds, e.g. "0.9 1.0 1.1"; without any they '
        "stay as they are.",
    ),
    Option(
        "min_seconds",
        "0.25",
        number(zero=True),
        "Utterances shorter than X are dropped; one that is too short for an encoder's "
        "subsampling stops a training.",
    ),
    Option(
        "max_seconds",
        "30.0",
        number(infinite=True),
        "Utterances longer than X are dropped.",
    ),
    Option("mini_seed", "0", whole(0), "The mini corpus is drawn by this seed."),
    Option(
        "mini_scale",
        "1.0",
        number(),
        "The mini corpus has X times the usual number of sentences.",
    ),
)

MODELS = (
    Option(
        "task",
        "asr",
        choice("asr", "asr_transducer"),
        "All models are of this task of ESPnet's: CTC and attention, or transducers.",
    ),
    Option("nbpe", "120", whole(), "All models share N pieces of words."),
    Option(
        "bpemode",
        "unigram",
        choice("unigram", "bpe", "char", "word"),
        "SentencePiece finds the pieces in this way.",
    ),
    Option("teacher_config", "", config(), "ESPnet trains the teacher by this file."),
    Option(
        "teacher_exp",
        "",
        optional(folder()),
        "This teacher is trained already; stage 7 then has nothing to do.",
    ),
    Option("student_config", "", config(), "ESPnet trains the students by this file."),
    Option(
        "kd_config",
        "",
        optional(config(), "none"),
        "This file is the distilled student's kd_conf. With none, the student has the "
        "teacher's transcripts or its first parameters, and no more of it.",
    ),
    Option(
        "inference_configs",
        "",
        several(config()),
        "Every model is decoded and scored by each of these files.",
    ),
    Option(
        "lm_exp",
        "",
        optional(folder()),
        "This language model over the same tokens helps every search, by the lm_weight of "
        "its inference config; egs/an4/lm_kd1 trains such.",
    ),
    Option("lm_model", "valid.loss.ave.pth", name(), "This checkpoint of it does."),
    Option(
        "streaming",
        "false",
        boolean(),
        "The students are decoded chunk by chunk, as they would answer while one speaks, "
        "and the results show how late their words are.",
    ),
    Option(
        "inference_model",
        "valid.acc.ave.pth",
        name(),
        "This checkpoint of every model is decoded, and the teacher's teaches.",
    ),
    Option(
        "teacher_max_wer",
        "50",
        number(zero=True, infinite=True),
        "Stage 8 stops at a teacher whose WER is above X percent.",
    ),
    Option("seeds", "1", several(whole(0)), "The students are trained from these seeds."),
    Option("teacher_seed", "1", whole(0), "The teacher is trained from this seed."),
    Option(
        "tag", "", optional(name()), "This name tells students of one expdir from others."
    ),
    Option(
        "control_tag",
        "",
        optional(name()),
        "The students are compared with the controls of this tag: without it of their own, "
        "with untagged of a run that has no tag.",
    ),
    Option("teacher_args", "", anything(), "The teacher's training has these options too."),
    Option("student_args", "", anything(), "Both students' trainings have these options."),
    Option(
        "unlabelled_args",
        "",
        anything(),
        "It has these too if it hears an --unlabelled_set, before --student_args.",
    ),
    Option(
        "kd_args", "", anything(), "The distilled student's training has these options."
    ),
    Option(
        "init_student",
        "false",
        boolean(),
        "The distilled student starts from the teacher's parameters (stage 9).",
    ),
    Option(
        "parameters_control",
        "false",
        boolean(),
        "One student more starts from the teacher's parameters (stage 9) and then learns "
        "alone: the results show what distillation adds to these.",
    ),
    Option(
        "init_args",
        "",
        anything(),
        "These options of espnet_kd.bin.init_student say how parameters are chosen.",
    ),
    Option(
        "cache_targets",
        "false",
        boolean(),
        "Stage 8 writes the teacher's targets to disk, stage 11 reads them.",
    ),
    Option(
        "cache_args",
        "--parts ctc,decoder",
        anything(),
        "These options of espnet_kd.bin.cache_teacher say what is written.",
    ),
)

RESULTS = (
    Option(
        "other_tags",
        "",
        optional(several(name())),
        "Trained students of these tags stand in the results beside these; untagged names "
        "those without a tag.",
    ),
    Option(
        "cost_utterances",
        "20",
        whole(),
        "Cost is measured on N utterances of the first test set.",
    ),
    Option(
        "deploy",
        "false",
        boolean(),
        "Stage 16 also writes 8-bit weights and ONNX graphs.",
    ),
)

# Options that have another value for models of a task, unless one is given.
OF_TASK = {
    # A transducer has no accuracy to choose its epochs by; every one has a loss.
    "asr_transducer": {"inference_model": "valid.loss.ave.pth"},
}

GROUPS = {"General": GENERAL, "Data": DATA, "Models": MODELS, "Results": RESULTS}
TABLE = Table(GROUPS, RULES, OF_TASK)
