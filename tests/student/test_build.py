"""A student built from an experiment: its layers, its seed, and what is refused."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from conftest import asr_options, build_asr, write_exp
from families import lattice

from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.experiment import open_experiment
from espnet_kd.student.build import Choice, build_student, can_start, check_parts

CHOICE = Choice({"encoder": "last", "decoder": "uniform"})


@pytest.fixture
def built(tmp_path):
    """Build a student of a teacher of three layers, by a choice and settings."""
    exp = write_exp(tmp_path / "exp", build_asr(1, blocks=3), asr_options(blocks=3))

    def build(choice, **settings):
        with open_experiment(exp) as teacher:
            return build_student(
                task_class("asr"), teacher, asr_options(**settings), choice
            )

    return build


def test_layers_are_chosen_on_each_side(built):
    teacher = build_asr(1, blocks=3).state_dict()
    state, origins = built(CHOICE, blocks=2)
    sources = {origin.name: origin.source for origin in origins}
    name = "feed_forward.w_1.weight"
    assert sources[f"encoder.encoders.0.{name}"] == f"encoder.encoders.1.{name}"
    assert sources[f"decoder.decoders.0.{name}"] == f"decoder.decoders.0.{name}"
    found = state[f"encoder.encoders.1.{name}"]
    assert torch.equal(found, teacher[f"encoder.encoders.2.{name}"])


def test_what_stays_random_is_drawn_by_the_seed(built):
    """Another input layer cannot come from the teacher."""
    conf = asr_options(blocks=2)["encoder_conf"] | {"input_layer": "conv2d6"}
    choices = (CHOICE, CHOICE, replace(CHOICE, seed=1))
    found = []
    for choice in choices:
        state, origins = built(choice, encoder_conf=conf)
        name = next(o.name for o in origins if o.how == "of another shape")
        found.append(state[name])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_other_kinds_of_parts_are_refused():
    teacher = {"encoder": "conformer", "decoder": "transformer"}
    check_parts(dict(teacher), teacher)
    with pytest.raises(KDError, match=r"decoder is 'rnn' and the teacher's 'transformer'"):
        check_parts(teacher | {"decoder": "rnn"}, teacher)
    with pytest.raises(KDError, match="Give the student 'encoder: conformer', or start it"):
        check_parts(teacher | {"encoder": "transformer"}, teacher)


@pytest.mark.parametrize("kind", ["conformer", "transformer"])
def test_a_student_over_blocks_is_of_its_offline_teachers_kind(kind):
    offline = {"encoder": kind, "decoder": "transformer"}
    blocks = offline | {"encoder": f"contextual_block_{kind}"}
    check_parts(blocks, offline)
    check_parts(dict(blocks), blocks)
    with pytest.raises(KDError, match=f"'{kind}' and the teacher's 'contextual_block_"):
        check_parts(offline, blocks)  # there are no relative positions to be had


def test_a_chunk_trained_transducer_starts_from_one_that_hears_all():
    """Its kernels hear the past alone, and its blocks are of the teacher's kind."""
    student, teacher = lattice(2, chunks=True), lattice(blocks=3)
    assert can_start(*student, *teacher)
    check_parts(student[1], teacher[1])
    blocks = deepcopy(student[1])
    blocks["encoder_conf"]["body_conf"][0]["block_type"] = "branchformer"
    with pytest.raises(KDError, match=r"encoder is 'branchformer' and the teacher's 'conf"):
        check_parts(blocks, teacher[1])


@pytest.mark.parametrize("kind", ["activation", "taylor"])
def test_an_importance_without_its_data_is_refused(built, kind):
    with pytest.raises(KDError, match=f"--importance {kind} is measured on data: give"):
        built(replace(CHOICE, importance=kind), blocks=2)


@pytest.mark.parametrize(
    ("student", "could"),
    [
        ({"width": 8, "blocks": 2}, True),
        ({"width": 12, "blocks": 3}, True),
        ({"width": 16, "blocks": 2}, False),
        ({"width": 8, "blocks": 4}, False),
        ({"encoder": "conformer"}, False),
        ({"encoder": "rnn", "encoder_conf": {"hidden_size": 8, "output_size": 8}}, False),
    ],
)
def test_whether_a_student_could_start_from_its_teacher(student, could):
    teacher = {"width": 12, "blocks": 3}
    models = ((build_asr(**kind), asr_options(**kind)) for kind in (student, teacher))
    assert can_start(*next(models), *next(models)) == could


def test_layers_of_a_kind_that_is_not_known_start_nowhere():
    conf = {"encoder": "rnn", "encoder_conf": {"hidden_size": 8, "output_size": 8}}
    model, settings = build_asr(**conf), asr_options(**conf)
    assert not can_start(model, settings, model, settings)
