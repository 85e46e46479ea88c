"""What options of asr_kd.sh may have wrong together, a rule each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from corpora import SETS

LANGUAGE_MODEL = re.compile(r"^lm:", re.MULTILINE)
EMPTY = "''"
WEIGHT = re.compile(r"^lm_weight:", re.MULTILINE)


def stages_that_run(settings: Mapping[str, str]) -> str:
    """Refuse a run that ends before it begins."""
    first, last = settings["stage"], settings["stop_stage"]
    if int(first) <= int(last):
        return ""
    return f"--stop_stage {last} is before --stage {first}: no stage is left to run"


def corpus_of_stage_1(settings: Mapping[str, str]) -> str:
    """Refuse a corpus that stage 1 is asked for and does not know."""
    first, last = int(settings["stage"]), int(settings["stop_stage"])
    corpus = settings["corpus"]
    own = settings["prepared"] or settings["kaldi_data"]
    if own or not first <= 1 <= last or corpus in SETS:
        return ""
    close = get_close_matches(corpus, SETS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return (
        f"--corpus {corpus} is none that stage 1 prepares ({', '.join(sorted(SETS))}); "
        f"{hint}Give data of your own by --kaldi_data or --prepared"
    )


def something_to_learn(settings: Mapping[str, str]) -> str:
    """Refuse a distilled student that would have nothing from its teacher."""
    other = settings["unlabelled_set"] or settings["init_student"] == "true"
    if settings["kd_config"] != "none" or other:
        return ""
    return (
        "--kd_config none needs --unlabelled_set or --init_student true: there is nothing "
        "else to have from a teacher"
    )


def unperturbed(settings: Mapping[str, str]) -> str:
    """Refuse speeds for data that is ready."""
    if not settings["prepared"] or not settings["speed_perturb_factors"]:
        return ""
    return "--prepared data is not perturbed here: clear --speed_perturb_factors"


def one_origin(settings: Mapping[str, str]) -> str:
    """Refuse data of two origins."""
    if not settings["prepared"] or not settings["kaldi_data"]:
        return ""
    return "--prepared and --kaldi_data both name the data: keep one of them"


def lattices_are_live(settings: Mapping[str, str]) -> str:
    """Refuse targets on disk of a transducer, whose lattice would not fit."""
    if settings["task"] != "asr_transducer" or settings["cache_targets"] != "true":
        return ""
    return (
        "--cache_targets true holds no transducer's lattice: leave it out with --task "
        "asr_transducer, whose teacher teaches live"
    )


def sets_apart(settings: Mapping[str, str]) -> str:
    """Refuse a student that trains on what it is judged by."""
    judged = [settings["valid_set"], *settings["test_sets"].split()]
    for name in ("train_set", "student_train_set", "unlabelled_set"):
        if settings[name] in judged:
            return (
                f"--{name} {settings[name]} is one of --valid_set and --test_sets, too; a "
                "model is judged by what it has not heard"
            )
    return ""


def transcripts_apart(settings: Mapping[str, str]) -> str:
    """Refuse audio that is to be transcribed and has transcripts already."""
    student, unlabelled = settings["student_train_set"], settings["unlabelled_set"]
    known = SETS.get(settings["corpus"], {})
    parts, others = (set(known.get(name, (name,))) for name in (student, unlabelled))
    if not unlabelled or not parts & others:
        return ""
    return (
        f"--unlabelled_set {unlabelled} and --student_train_set {student} share "
        f"{min(parts & others)}; name audio whose transcripts the student has not"
    )


def heard_is_there(settings: Mapping[str, str]) -> str:
    """Refuse a folder that holds nothing for the teacher to hear."""
    file = "wav.scp" if settings["feats_type"] == "raw" else "feats.scp"
    path = Path(settings["teacher_hears"]) / settings["valid_set"] / "final" / file
    if not settings["teacher_hears"] or path.is_file():
        return ""
    return f"--teacher_hears: {path} is missing; name another run's dump/fbank"


def language_model_is_there(settings: Mapping[str, str]) -> str:
    """Refuse a folder that holds no language model."""
    folder, file = Path(settings["lm_exp"]), settings["lm_model"]
    if not settings["lm_exp"]:
        return ""
    for name in ("config.yaml", file):
        if not (folder / name).is_file():
            return f"--lm_exp: {folder / name} is missing; see --lm_model"
    if not LANGUAGE_MODEL.search((folder / "config.yaml").read_text(encoding="utf-8")):
        return f"--lm_exp: {folder} is no language model, such as lm_train trains"
    return ""


def heard_live(settings: Mapping[str, str]) -> str:
    """Refuse what the recipe would let the teacher do on the students' audio."""
    if not settings["teacher_hears"]:
        return ""
    for name, unset in (("cache_targets", "false"), ("unlabelled_set", "")):
        if settings[name] != unset:
            return f"--teacher_hears teaches live: give --{name} {unset or EMPTY} with it"
    return heard_is_there(settings)


def weighed_language_model(settings: Mapping[str, str]) -> str:
    """Refuse a language model whose weight nobody said, for ESPnet's is 1."""
    if not settings["lm_exp"]:
        return ""
    if problem := language_model_is_there(settings):
        return problem
    for config in settings["inference_configs"].split():
        if not WEIGHT.search(Path(config).read_text(encoding="utf-8")):
            return (
                f"--lm_exp: {config} has no lm_weight; write how much the language model "
                "counts in that search, 0 for nothing"
            )
    return ""


def whole_searches_have_it(settings: Mapping[str, str]) -> str:
    """Refuse a language model for searches that go chunk by chunk."""
    if not settings["lm_exp"] or settings["streaming"] != "true":
        return ""
    return "--streaming true searches without a language model: leave out --lm_exp"


def ready_features(settings: Mapping[str, str]) -> str:
    """Refuse audio where features are to be ready."""
    folder = Path(settings["prepared"]) / settings["train_set"]
    has_features = (folder / "feats.scp").exists() or not (folder / "wav.scp").exists()
    if not settings["prepared"] or settings["feats_type"] == "raw" or has_features:
        return ""
    return (
        f"{folder} has audio (wav.scp) and no features (feats.scp): give the folder by "
        "--kaldi_data, and stages 2 to 4 make them"
    )


RULES = (
    stages_that_run,
    corpus_of_stage_1,
    something_to_learn,
    unperturbed,
    one_origin,
    lattices_are_live,
    sets_apart,
    transcripts_apart,
    heard_live,
    weighed_language_model,
    whole_searches_have_it,
    ready_features,
)
