#!/usr/bin/env python3
"""The options of task_kd.sh, read as asr_kd.sh's are (read_options.py).

A new option is a line here; task_kd.sh and its stages then find a variable of its name.
"""

from __future__ import annotations

from option_kinds import Kind, anything, choice, config, folder, name, optional, several
from option_table import Option, Table
from read_options import main
from recipe_options import TABLE as RECOGNITION
from recipe_rules import stages_that_run

# What both scripts mean by the same name.
SHARED = RECOGNITION.options


def shared(*names: str) -> tuple[Option, ...]:
    """Options of recognition's recipe that this one has as well."""
    return tuple(SHARED[name] for name in names)


def stream() -> Kind:
    """What a model reads: FILE,NAME,KIND."""

    def problem(value: str) -> str:
        if len(value.split(",")) == 3 and all(value.split(",")):
            return ""
        return f"must be FILE,NAME,KIND, got '{value}'"

    return Kind("FILE,NAME,KIND", problem)


GENERAL = (
    *shared("stage"),
    Option("stop_stage", "7", SHARED["stop_stage"].kind, "The run ends with this stage."),
    *shared("ngpu", "num_nodes", "train_threads", "train_jobs", "expdir", "datadir"),
)

DATA = (
    Option(
        "prepare_args",
        "",
        anything(),
        "local/prepare.py has these options, such as where a corpus lies.",
    ),
    Option("train_set", "train", name(), "All models are trained on this set."),
    *shared("valid_set"),
    Option("test_sets", "test", several(name()), "Every model is measured on these sets."),
    Option(
        "streams",
        "",
        several(stream()),
        "Models read these files of a set, FILE,NAME,KIND each as ESPnet's "
        "train_data_path_and_name_and_type has them; the first holds every utterance.",
    ),
    Option(
        "valid_streams",
        "",
        optional(several(stream())),
        "The valid set has these instead, if it has others.",
    ),
    Option(
        "shapes",
        "",
        anything(),
        "Batches are made by the shapes of these streams; without names, of all.",
    ),
    Option(
        "ready_shapes",
        "",
        anything(),
        "Batches are made by this file of a set, which local/prepare.py wrote; no "
        "statistics are collected then.",
    ),
)

MODELS = (
    Option(
        "task",
        "lm",
        choice("lm", "tts", "svs", "enh", "spk", "s2t", "mt", "slu", "diar", "cls"),
        "All models are of this task of ESPnet's.",
    ),
    Option("task_args", "", anything(), "Statistics and trainings have these options."),
    Option("stats_args", "", anything(), "Collecting statistics has these options too."),
    Option(
        "train_args",
        "",
        anything(),
        "Trainings have these options too; {stats} in them is the folder of the training "
        "set's statistics, {data} that of the data.",
    ),
    *shared("teacher_config"),
    Option(
        "teacher_exp",
        "",
        optional(folder()),
        "This teacher is trained already; stage 3 then has nothing to do.",
    ),
    *shared("student_config"),
    Option("kd_config", "", config(), "This file is the distilled student's kd_conf."),
    Option(
        "inference_model",
        "valid.loss.ave.pth",
        name(),
        "This checkpoint of every model is measured, and the teacher's teaches.",
    ),
    *shared("seeds", "teacher_seed", "tag", "control_tag", "teacher_args", "student_args"),
    *shared("kd_args"),
)

RESULTS = (
    Option("evaluate_args", "", anything(), "local/evaluate.py has these options."),
    *shared("other_tags"),
)

GROUPS = {"General": GENERAL, "Data": DATA, "Models": MODELS, "Results": RESULTS}
TABLE = Table(GROUPS, rules=(stages_that_run,))

if __name__ == "__main__":
    main(TABLE)
