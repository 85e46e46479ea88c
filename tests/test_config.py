"""kd_conf: everything wrong is reported at once, with path, culprit and remedy."""

import pytest

from espnet_kd.errors import ConfigError, Problem, suggest
from espnet_kd.losses import LOSSES
from espnet_kd.parse import parse_config

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
    assert lines[2].startswith("  teachers: name exactly one teacher")


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
        ({"teachers": []}, "teachers", "exactly one teacher"),
        ({"teachers": "exp"}, "teachers", "must be a list"),
        ({"teachers": [{"file": "x"}]}, "teachers[0]", "needs 'exp'"),
        (
            {"teachers": [{"exp": "a", "view": "dim"}]},
            "teachers[0].view",
            "clean, same",
        ),
        ({"losses": [3]}, "losses[0]", "needs 'type'"),
        ({"targets": "cache/"}, "targets", "only 'live' targets"),
        ({"schedule": 3}, "schedule", "must be a mapping"),
        ({"plugins": ["no_such_module_kd"]}, "plugins[0]", "ModuleNotFoundError"),
    ],
)
def test_each_kind_of_mistake(change, path, text):
    assert text in problems(GOOD | change)[path]


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
