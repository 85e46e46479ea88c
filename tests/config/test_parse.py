"""kd_conf: everything wrong is reported at once, with path, culprit and remedy."""

import math
from types import SimpleNamespace

import pytest

from espnet_kd.config.parse import parse_config
from espnet_kd.errors import ConfigError, Problem, suggest
from espnet_kd.losses import LOSSES
from espnet_kd.registry import Registry

GOOD = {
    "teachers": [{"exp": "exp/teacher"}],
    "losses": [{"type": "token_kl", "weight": 1.0, "temperature": 2.0}],
}


def problems(raw, **options):
    with pytest.raises(ConfigError) as error:
        parse_config(raw, LOSSES, **options)
    return {problem.path: problem.text for problem in error.value.problems}


def with_loss(**term):
    return problems({**GOOD, "losses": [term]})


def test_a_good_config_and_its_defaults():
    config = parse_config(GOOD, LOSSES)
    assert config.task_weight == 1.0
    assert config.schedule.warmup_steps == 0
    assert (config.teachers[0].exp, config.teachers[0].file) == ("exp/teacher", None)
    assert config.teachers[0].view == "clean"
    (term,) = config.losses
    assert (term.type, term.name, term.weight) == ("token_kl", "token_kl", 1.0)
    assert dict(term.options) == {"temperature": 2.0}


def test_every_problem_at_once_with_its_path():
    found = problems(
        {
            "teachers": [{"exp": "a", "veiw": "clean"}],
            "task_weight": -1,
            "losses": [
                {"type": "ctc_frame_kld", "weight": 1},
                {"type": "token_kl", "temperature": 0},
                {"type": "hidden_mse", "weight": 1, "student": "encoder"},
            ],
            "schedule": {"warmup_steps": -5},
            "shedule": {},
        }
    )
    assert set(found) == {
        "teachers[0].veiw",
        "task_weight",
        "losses[0].type",
        "losses[1].weight",
        "losses[1].temperature",
        "losses[2].teacher",
        "schedule.warmup_steps",
        "shedule",
    }
    assert "did you mean 'ctc_frame_kl'?" in found["losses[0].type"]
    assert found["losses[1].weight"] == "is missing; a weight has no default"
    assert "must be a positive number, got 0" in found["losses[1].temperature"]
    assert "did you mean 'view'?" in found["teachers[0].veiw"]
    assert "did you mean 'schedule'?" in found["shedule"]


def test_the_message_counts_and_lists():
    with pytest.raises(ConfigError) as error:
        parse_config({"losses": []}, LOSSES, source="conf/kd/ctc.yaml: kd_conf")
    lines = str(error.value).splitlines()
    assert lines[0] == "2 problems in conf/kd/ctc.yaml: kd_conf"
    assert lines[1].startswith("  losses: name at least one loss; known: attention_kl")
    assert lines[2].startswith("  teachers: name at least one teacher")


@pytest.mark.parametrize("weight", [-0.5, float("nan"), float("inf"), "1", True])
def test_a_weight_is_a_finite_number_of_at_least_zero(weight):
    found = with_loss(type="token_kl", weight=weight)
    assert "finite number of at least 0" in found["losses[0].weight"]


def test_an_unknown_option_names_the_known_ones():
    found = with_loss(type="token_kl", weight=1, temprature=2)
    assert "did you mean 'temperature'?" in found["losses[0].temprature"]


def test_two_terms_of_one_name_must_be_told_apart():
    term = {"type": "token_kl", "weight": 1}
    found = problems({**GOOD, "losses": [term, term]})
    assert "also losses[0]; give one of them a 'name'" in found["losses[1].name"]
    both = parse_config({**GOOD, "losses": [term, term | {"name": "soft"}]}, LOSSES)
    assert [t.name for t in both.losses] == ["token_kl", "soft"]


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"teachers": []}, "teachers", "at least one teacher"),
        ({"teachers": [{"ema": 0.9}, {"ema": 0.9}]}, "teachers", "'ema' is there twice"),
        (
            {
                "teachers": [
                    {"exp": "a", "schedule": {"decay": "linear", "decay_steps": 9}},
                    {"exp": "b", "weight": 0, "name": "b"},
                ]
            },
            "teachers",
            "every share falls to 0 by its 'schedule'",
        ),
        (
            {"teachers": [{"exp": "a", "schedule": {"decay": "linear"}}, {"exp": "b"}]},
            "teachers[0].schedule.decay_steps",
            "do not go together",
        ),
        ({"teachers": [{"exp": "a", "weight": 0}]}, "teachers[0].weight", "leave the"),
        ({"teachers": [{"exp": "a", "weight": "b"}]}, "teachers[0].weight", "number"),
        (
            {"teachers": [{"exp": "a", "weight": 0, "name": "x"}, {"exp": "b"}]},
            "teachers",
            "the first one's 'weight' is 0",
        ),
        (
            {"teachers": [{"exp": "a", "name": "x"}, {"exp": "b", "name": "x"}]},
            "teachers",
            "two are named 'x'; give each a name of its own",
        ),
        ({"teachers": [{"exp": "a", "name": "X"}]}, "teachers[0].name", "'X' must match"),
        ({"teachers": [{"exp": "a", "name": "attn"}]}, "teachers[0].name", "not be 'attn'"),
        ({"combine": "average"}, "combine", "confidence, draw, log_mean, mean"),
        ({"teachers": [{"lm": "a", "weight": "wer"}]}, "teachers[0].weight", "with 'exp'"),
        ({"teachers": [{"exp": "a", "lm": "b"}]}, "teachers[0]", "needs 'exp'"),
        ({"teachers": [{"lm": "a", "view": "same"}]}, "teachers[0].view", "unknown key"),
        ({"teachers": [{"exp": "a", "hears": "b c"}]}, "teachers[0].hears", "the name of"),
        ({"teachers": [{"exp": "a", "hears": 1}]}, "teachers[0].hears", "got 1"),
        ({"teachers": [{"exp": "a", "every": 0}]}, "teachers[0].every", "at least 1"),
        ({"teachers": [{"exp": "a", "every": 1.5}]}, "teachers[0].every", "whole number"),
        (
            {"teachers": [{"exp": "a", "precision": "int8"}]},
            "teachers[0].precision",
            "got 'int8'; known: bfloat16, float32",
        ),
        ({"teachers": [{"lm": "a", "every": 2}]}, "teachers[0].every", "unknown key"),
        (
            {"teachers": [{"exp": "a", "hears": "b", "when_missing": "ship"}]},
            "teachers[0].when_missing",
            "did you mean 'skip'",
        ),
        ({"teachers": [{"exp": "a", "codebooks": 1}]}, "teachers[0].codebooks", "a file"),
        ({"teachers": [{"exp": "a", "token_map": []}]}, "teachers[0].token_map", "a file"),
        ({"teachers": [{"ema": 0.9, "codebooks": "c"}]}, "teachers[0].codebooks", "unkno"),
        (
            {"teachers": [{"exp": "a", "hears": "b", "view": "same"}]},
            "teachers[0].hears",
            "is another stream, and 'view: same' the student's; remove one",
        ),
        ({"teachers": "exp"}, "teachers", "must be a list"),
        ({"teachers": [{"file": "x"}]}, "teachers[0]", "needs 'exp'"),
        (
            {"teachers": [{"exp": "a", "view": "dim"}]},
            "teachers[0].view",
            "clean, same",
        ),
        ({"losses": [3]}, "losses[0]", "needs 'type'"),
        ({"targets": 3}, "targets", "must be 'live', a cache directory or a list"),
        ({"targets": [""]}, "targets", "must be 'live', a cache directory or a list"),
        ({"schedule": 3}, "schedule", "must be a mapping"),
        ({"schedule": {"decay": "cosin"}}, "schedule.decay", "did you mean 'cosine'?"),
        (
            {"schedule": {"decay": "linear"}},
            "schedule.decay_steps",
            "'decay: linear' and 'decay_steps: 0' do not go together",
        ),
        (
            {"schedule": {"decay_steps": 9}},
            "schedule.decay_steps",
            "'decay: none' and 'decay_steps: 9' do not go together",
        ),
        ({"schedule": {"final": -1}}, "schedule.final", "finite number of at least 0"),
        ({"gradients": 5}, "gradients", "must be a mapping"),
        ({"gradients": {"every": 0.5}}, "gradients.every", "whole number of updates"),
        ({"gradients": {"balance": True}}, "gradients.every", "is missing"),
        (
            {"gradients": {"every": 9, "balance": 1}},
            "gradients.balance",
            "true or false",
        ),
        ({"diagnostics": "no"}, "diagnostics", "must be true or false, got 'no'"),
        ({"plugins": ["no_such_module_kd"]}, "plugins[0]", "ModuleNotFoundError"),
    ],
)
def test_each_kind_of_mistake(change, path, text):
    assert text in problems(GOOD | change)[path]


def test_a_term_has_a_schedule_and_a_confidence_of_its_own():
    raw = {
        "type": "token_kl",
        "weight": 1,
        "confidence": 2,
        "schedule": {"warmup_steps": 7},
    }
    (term,) = parse_config(GOOD | {"losses": [raw]}, LOSSES).losses
    assert term.confidence == 2
    assert term.schedule.warmup_steps == 7
    assert term.options == {}
    found = with_loss(**raw | {"confidence": -1, "schedule": {"warmup": 7}})
    assert "at least 0" in found["losses[0].confidence"]
    assert "did you mean 'warmup_steps'?" in found["losses[0].schedule.warmup"]


@pytest.mark.parametrize(
    ("term", "path", "text"),
    [
        ({"type": "ctc_frame_kl", "frames": "symmetric"}, "frames", "nonblank"),
        ({"type": "ctc_frame_kl", "threshold": 1}, "threshold", "between 0 and 1"),
        ({"type": "ctc_frame_kl", "head": 0}, "head", "whole number of at least 1"),
        ({"type": "ctc_frame_kl", "bridge": "max"}, "bridge", "mean, spike"),
        ({"type": "ctc_guided", "form": "hard"}, "form", "cross_entropy"),
        ({"type": "ctc_shift_kl", "min_shift": 1}, "min_shift", "0 or a negative"),
        ({"type": "ctc_shift_kl", "max_shift": -1}, "max_shift", "at least 0"),
        ({"type": "ctc_shift_kl", "per": "batch"}, "per", "frame, utterance"),
        ({"type": "ctc_shift_kl", "max_shift_ms": -40}, "max_shift_ms", "at least 0"),
        ({"type": "ctc_shift_kl", "min_shift_ms": 40}, "min_shift_ms", "0 or a negative"),
        ({"type": "ctc_shift_kl", "min_shift_ms": -math.inf}, "min_shift_ms", "0 or a neg"),
        (
            {"type": "ctc_shift_kl", "max_shift_ms": math.inf},
            "max_shift_ms",
            "a finite nu",
        ),
        ({"type": "ctc_shift_kl", "frame_shift_ms": 40}, "frame_shift_ms", "neither is"),
        (
            {"type": "ctc_shift_kl", "max_shift": 2, "max_shift_ms": 80},
            "max_shift",
            "'max_shift_ms' as well; remove one of them",
        ),
        ({"type": "ctc_token_kl", "reduction": "sum"}, "reduction", "batch, token"),
        ({"type": "token_jsd", "beta": 1}, "beta", "between 0 and 1"),
        ({"type": "token_nbest", "nbest": 0}, "nbest", "at least 1"),
        ({"type": "transducer_fullsum", "distance": "kl"}, "distance", "l1, l2"),
        ({"type": "transducer_path_kl", "reduction": "mean"}, "reduction", "batch, token"),
        ({"type": "rkd", "angle_weight": -1}, "angle_weight", "at least 0"),
        ({"type": "relation_kl", "relations": ["o"]}, "relations", "some of q, k, v"),
        ({"type": "relation_kl", "heads": 0}, "heads", "at least 1"),
        (
            {"type": "attention_kl", "student": "d.0.src_attn"},
            "student",
            "self_attn module",
        ),
        ({"type": "attention_kl", "student": "encoder.m:0"}, "student", "is not a tap"),
        ({"type": "hidden_cka", "student": "a b"}, "student", "is not a tap"),
    ],
)
def test_each_loss_names_what_it_cannot_take(term, path, text):
    if term["type"].startswith(("rkd", "relation", "attention", "hidden")):
        term = {"student": "encoder", "teacher": "encoder"} | term
    assert text in with_loss(weight=1, **term)[f"losses[0].{path}"]


def test_all_that_is_wrong_with_one_loss_comes_at_once():
    term = {"type": "token_jsd", "beta": 2, "temperature": 0, "reduction": "sum"}
    assert set(with_loss(weight=1, **term)) == {
        "losses[0].beta",
        "losses[0].temperature",
        "losses[0].reduction",
    }


CACHED = {"targets": "cache"}
BALANCED = {"gradients": {"every": 9, "balance": True}}
FADING = {"schedule": {"decay": "linear", "decay_steps": 9}}


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        (
            CACHED | {"teachers": [{"ema": 0.9}]},
            "teachers[0].ema",
            "is the student's own average, which no cache holds; remove it, or learn from "
            "it by 'targets: live'",
        ),
        (
            CACHED | {"teachers": [{"exp": "a"}, {"exp": "b", "view": "same"}]},
            "teachers[1].view",
            "is 'same', but cached targets are of clean features, whatever the student "
            "hears; remove it, or use 'targets: live'",
        ),
        (
            CACHED | {"teachers": [{"exp": "a", "hears": "clean", "when_missing": "skip"}]},
            "teachers[0].when_missing",
            "is 'skip', and a cache has targets of every utterance; remove it, or use "
            "'targets: live'",
        ),
        (
            CACHED | {"teachers": [{"exp": "a", "every": 2}]},
            "teachers[0].every",
            "is 2, and cached targets cost next to nothing; remove it, or use "
            "'targets: live'",
        ),
        (
            CACHED | {"teachers": [{"exp": "a", "precision": "bfloat16"}]},
            "teachers[0].precision",
            "is 'bfloat16', and the teacher of cached targets does not compute; remove it, "
            "or use 'targets: live'",
        ),
        (
            {"teachers": [{"exp": "a"}, {"exp": "b", "every": 3}]},
            "teachers[1].every",
            "is 3, and several teachers answer as one in every batch; remove it",
        ),
        (
            {"teachers": [{"ema": 0.9, "every": 3}], "gradients": {"every": 9}},
            "gradients.every",
            "measures in updates of its own, in which a teacher with 'every' may not be "
            "asked; remove one of the two",
        ),
        (
            {"teachers": [{"exp": "a", "when_missing": "skip"}]},
            "teachers[0].when_missing",
            "is of a teacher that hears another stream than the student; add 'hears' or "
            "remove it",
        ),
        (
            CACHED | {"teachers": [{"exp": "a", "codebooks": "c.npz"}]},
            "teachers[0].codebooks",
            "are of a live teacher, and cached targets hold indices already; remove them, "
            "or use 'targets: live'",
        ),
        (
            BALANCED | {"task_weight": 0},
            "gradients.balance",
            "weighs the terms by the gradient of the task's loss, and 'task_weight: 0' "
            "leaves it none; remove one of the two",
        ),
        (
            {"combine": "draw"},
            "combine",
            "says how several teachers become one, and there are not several; remove it",
        ),
        (
            {"teachers": [{"exp": "a", "weight": 0.5}]},
            "teachers[0].weight",
            "counts among several teachers, and this one is alone; how much is learned "
            "from it is the 'weight' of each loss. Remove it",
        ),
        (
            {"teachers": [{"exp": "a", "schedule": {"warmup_steps": 9}}]},
            "teachers[0].schedule",
            "says how the share of one of several teachers develops, and this one is "
            "alone; give the losses a 'schedule', and remove it",
        ),
        (
            {"teachers": [{"exp": "a", "name": "big"}]},
            "teachers[0].name",
            "tells taps which of several teachers is meant, and this one is alone; "
            "remove it",
        ),
        (
            CACHED | {"teachers": [{"exp": "a", "weight": "wer"}]},
            "teachers[0].weight",
            "counts among several teachers, and this one is alone; how much is learned "
            "from it is the 'weight' of each loss. Remove it",
        ),
        (
            {
                "targets": "cache",
                "teachers": [],
                "losses": [{"type": "cr_ctc", "weight": 1}],
            },
            "targets",
            "none of the losses reads a teacher; remove it",
        ),
        (
            {"targets": [], "teachers": []},
            "teachers",
            "name at least one teacher, '- exp: DIR'",
        ),
        (
            FADING | {"task_weight": 0},
            "task_weight",
            "is 0, and so is every term at the end of its schedule: nothing would be "
            "learned; give it or a term a weight that stays",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(change, path, text):
    assert problems(GOOD | change) == {path: text}


@pytest.mark.parametrize(
    "change",
    [
        CACHED,
        CACHED | {"teachers": [{"exp": "a"}, {"lm": "b"}]},
        CACHED | {"teachers": [], "combine": "log_mean"},
        {"teachers": [{"exp": "a", "weight": 2}, {"lm": "b"}], "combine": "log_mean"},
        {"teachers": [{"exp": "a", "view": "same"}]},
        {"teachers": [{"ema": 0.9}]},
        {"task_weight": 0},
        FADING,
        BALANCED,
    ],
)
def test_what_is_not_ignored_is_welcome(change):
    assert parse_config(GOOD | change, LOSSES)


@pytest.mark.parametrize(
    ("teacher", "key"),
    [({"exp:x": None}, "exp:x"), ({"exp": "a", "file:b.pth": None}, "file:b.pth")],
)
def test_a_missing_blank_after_a_colon_is_said(teacher, key):
    found = problems(GOOD | {"teachers": [teacher]})
    name, _, value = key.partition(":")
    assert found[f"teachers[0].{key}"] == (
        f"YAML takes '{key}' for a key; leave a blank after the colon: '{name}: {value}'"
    )


def third_party(constructor):
    """A registry with one loss of somebody else."""
    losses = Registry("loss")
    needs = SimpleNamespace(teacher=True)
    body = {"__init__": constructor, "needs": lambda self: needs, "per_utterance": True}
    losses.register("mine")(type("Mine", (), body))
    return losses


def of_mine(losses, **options):
    return parse_config(
        GOOD | {"losses": [{"type": "mine", "weight": 1} | options]}, losses
    )


def test_a_plain_keyword_only_constructor_is_a_schema():
    def constructor(self, *, sharpness, form="soft"):
        if sharpness < 0:
            raise ValueError("sharpness must not be negative")

    losses = third_party(constructor)
    assert of_mine(losses, sharpness=2).losses[0].options == {"sharpness": 2}
    for options, said in (
        ({}, r"losses\[0\]\.sharpness: is missing; 'mine' cannot do without it"),
        ({"sharpness": 1, "from": 2}, "did you mean 'form'"),
        ({"sharpness": -1}, r"losses\[0\]: 'mine' cannot be built: sharpness must not be"),
        ({"sharpness": "a"}, "'mine' cannot be built: '<' not supported"),
    ):
        with pytest.raises(ConfigError, match=said):
            of_mine(losses, **options)


def test_a_constructor_that_takes_anything_is_given_anything():
    losses = third_party(lambda self, *args, **options: None)
    assert of_mine(losses, what=1).losses[0].options == {"what": 1}


def test_no_mapping_at_all():
    assert "must be a mapping" in problems(["a"])[""]


def test_a_teacher_handed_over_replaces_the_named_one():
    raw = {"losses": GOOD["losses"]}
    assert parse_config(raw, LOSSES, teacher_given=True).teachers == ()
    assert "remove one" in problems(GOOD, teacher_given=True)["teachers"]


def test_problem_paths_join_as_users_write_them():
    assert str(Problem("[1].weight", "bad").under("losses")) == "losses[1].weight: bad"
    assert str(Problem("", "bad").under("losses")) == "losses: bad"
    assert suggest("x", []) == "known: none"


def test_a_loss_that_doubles_the_batch_cannot_be_watched_only():
    found = problems({"losses": [{"type": "cr_ctc", "weight": 0}]})
    assert "'cr_ctc' needs every batch twice" in found["losses[0].weight"]


def test_what_a_weight_falls_to_needs_a_decay():
    found = problems({**GOOD, "schedule": {"final": 0.5}})
    assert "'decay' is 'none'; remove it or set a decay" in found["schedule.final"]


def test_a_loss_that_needs_what_no_model_gives_is_named():
    from espnet_kd.losses import DistillationLoss, Needs

    registry = Registry("loss")

    @registry.register("mine")
    class Mine(DistillationLoss):
        def needs(self):
            return Needs(ctcc=True)

    conf = {"teachers": [{"exp": "x"}], "losses": [{"type": "mine", "weight": 1}]}
    with pytest.raises(ConfigError, match=r"losses\[0\]: a loss needs 'ctcc'.*mean 'ctc'"):
        parse_config(conf, registry)
