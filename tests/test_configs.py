"""Every shipped configuration is loaded, validated and, if it is a training, dry-run."""

import importlib

import pytest
import yaml
from conftest import REPO, build_asr, clone

from espnet_kd.config.parse import parse_config
from espnet_kd.config.read import read_kd_conf
from espnet_kd.hook.attach import attach
from espnet_kd.losses import LOSSES
from espnet_kd.student.layers import layer_map

RECIPE = REPO / "egs" / "librispeech" / "asr_kd1" / "conf"
AN4 = REPO / "egs" / "an4" / "asr_kd1" / "conf"
KD = sorted(
    [
        *(REPO / "conf" / "kd").glob("*.yaml"),
        *RECIPE.glob("*/kd*.yaml"),
        *AN4.glob("kd*.yaml"),
    ]
)
TRAIN = sorted(
    path
    for folder in (*(RECIPE / name for name in ("mini", "tiny", "100h", "960h")), AN4)
    for path in folder.glob("*.yaml")
    if path.name.startswith(("teacher", "student"))
)
DECODE = sorted(
    path
    for folder in (RECIPE, AN4)
    for path in folder.rglob("*.yaml")
    if path not in {*TRAIN, *KD}
)


def names(paths):
    return [str(path.relative_to(REPO)) for path in paths]


@pytest.mark.parametrize("path", KD, ids=names(KD))
def test_kd_configs_validate(path):
    assert parse_config(yaml.safe_load(path.read_text()), LOSSES, source=str(path))


@pytest.mark.parametrize("path", [*KD, *TRAIN, *DECODE], ids=names([*KD, *TRAIN, *DECODE]))
def test_every_config_opens_with_its_purpose(path):
    assert path.read_text().startswith("# ")


def test_recommended_is_what_was_measured():
    recommended = read_kd_conf("recommended")
    measured = yaml.safe_load((AN4 / "kd_scarce.yaml").read_text())
    assert recommended.get("task_weight", 1.0) == measured["task_weight"]
    taps = ("student", "teacher")  # of the middle layer, which are the models' own
    middles = [dict(conf["losses"][3]) for conf in (recommended, measured)]
    named = [[middle.pop(tap) for tap in taps] for middle in middles]
    assert middles[0] == middles[1]
    assert recommended["losses"][:3] == measured["losses"][:3]
    # Of both files the teacher's layer is the one that the student's is made of.
    for (student, teacher), depths in zip(named, ((6, 12), (3, 6)), strict=True):
        layer = int(student.rpartition(".")[2])
        origin = layer_map("uniform", *depths, "encoder")[layer]
        assert teacher == f"encoder.encoders.{origin}"


@pytest.mark.parametrize("encoder", ["transformer", "conformer", "e_branchformer"])
def test_recommended_suits_any_encoder_of_its_depths(encoder, batch):
    student, teacher = (
        build_asr(
            encoder_conf={"output_size": 8, "attention_heads": 2, "num_blocks": count},
            encoder=encoder,
        )
        for count in (6, 12)
    )
    conf = {**read_kd_conf("recommended")}
    conf.pop("teachers")
    example = {name: batch[name] for name in ("speech", "speech_lengths")}
    attach(student, conf, teacher, example=example)
    _, stats, _ = student.train()(**clone(batch))
    names = ("ctc_frame_kl", "token_kl", "hidden_l1_cosine", "middle")
    assert {f"loss_kd_{name}" for name in names} <= stats.keys()


@pytest.mark.parametrize("path", DECODE, ids=names(DECODE))
def test_decoding_configs_are_understood(path):
    family = "asr_transducer" if "transducer" in path.stem else "asr"
    get_parser = importlib.import_module(f"espnet2.bin.{family}_inference").get_parser
    known = {action.dest for action in get_parser()._actions}
    assert yaml.safe_load(path.read_text()).keys() <= known


def parameters(path, tmp_path, vocabulary):
    """Parameters of a training config, by ESPnet's own dry run."""
    import torch

    from espnet_kd.host.compat import task_class
    from espnet_kd.report.measure import parameters_of

    tokens = tmp_path / "tokens.txt"
    pieces = [f"p{i}" for i in range(vocabulary - 3)]
    tokens.write_text("\n".join(["<blank>", "<unk>", *pieces, "<sos/eos>"]))
    widths = {"mini": "80", "tiny": "80", "conf": "39"}
    width = widths.get(path.parent.name)
    features = ["--input_size", width] if width else []
    out = tmp_path / path.stem
    task = task_class("asr_transducer" if "transducer" in path.stem else "asr")
    with torch.device("cpu"):
        task.main(
            cmd=[
                *("--config", str(path), "--token_list", str(tokens)),
                *("--output_dir", str(out), "--dry_run", "true", "--use_amp", "false"),
                *features,
            ]
        )
    return parameters_of(out / "config.yaml", task)


@pytest.mark.parametrize(
    ("folder", "vocabulary", "pairs", "largest_share"),
    [
        ("mini", 240, [("teacher", "student")], 0.25),
        ("tiny", 40, [("teacher", "student")], 0.25),
        (
            "100h",
            5000,
            [(f"teacher_{k}", f"student_{k}") for k in ("conformer", "transformer")]
            + [("teacher_e_branchformer", "student_e_branchformer")],
            0.25,
        ),
        ("960h", 5000, [("teacher_conformer", "student_conformer")], 0.25),
        (AN4, 30, [(f"teacher{k}", f"student{k}") for k in ("", "_audio")], 0.25),
        (
            AN4,
            30,
            [("teacher", f"student_streaming{k}") for k in ("", "_transformer")],
            0.25,
        ),
        (AN4, 30, [("teacher_transducer", "student_streaming_transducer")], 0.25),
        (
            AN4,
            30,
            [("teacher_transducer_audio", "student_transducer_streaming_audio")],
            0.25,
        ),
    ],
)
def test_trainings_dry_run_and_students_are_small(
    folder, vocabulary, pairs, largest_share, tmp_path
):
    for teacher, student in pairs:
        sizes = [
            parameters(RECIPE / folder / f"{name}.yaml", tmp_path, vocabulary)
            for name in (teacher, student)
        ]
        assert sizes[1] <= largest_share * sizes[0], sizes


def test_the_published_sizes_are_met(tmp_path):
    # ESPnet's own figures for these recipes at 5000 pieces: 34.23 M, 38.47 M, 148.92 M
    published = {
        "100h/teacher_conformer": 34.23e6,
        "100h/teacher_e_branchformer": 38.47e6,
        "960h/teacher_conformer": 116.15e6,
        "960h/teacher_e_branchformer": 148.92e6,
    }
    for name, size in published.items():
        found = parameters(RECIPE / f"{name}.yaml", tmp_path, 5000)
        assert found == pytest.approx(size, rel=0.01), name
