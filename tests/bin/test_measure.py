"""What models cost, beside each other."""

import json
from pathlib import Path

import pytest
from conftest import asr_options, build_asr, write_exp, write_features
from streams import chunk_exp

from espnet_kd.bin import quantize
from espnet_kd.bin.measure import main

SIZES = {"big": {"width": 32, "blocks": 4}, "small": {"width": 8, "blocks": 1}}


@pytest.fixture
def place(tmp_path):
    for name, size in SIZES.items():
        write_exp(tmp_path / name, build_asr(1, **size), asr_options(**size))
    write_features(tmp_path, dict.fromkeys(("u0", "u1", "u2"), 200))
    (tmp_path / "decode.yaml").write_text("ctc_weight: 1.0\nbeam_size: 2\nlm_weight: 0.0\n")
    return tmp_path


def command(place, *more):
    exps = [word for name in SIZES for word in ("--exp", str(place / name))]
    return [
        *exps,
        *("--data_path_and_name_and_type", f"{place}/f.scp,speech,kaldi_ark"),
        *("--inference_config", str(place / "decode.yaml")),
        *("--output", str(place / "cost.json"), *more),
    ]


@pytest.mark.parametrize("random", ["true", "false"])
def test_sizes_and_times(place, capsys, random):
    if random == "true":
        for name in SIZES:
            (place / name / "valid.acc.ave.pth").unlink()
    main(command(place, "--random", random))
    found = json.loads((place / "cost.json").read_text())
    assert found["setting"]["seconds"] == 6.0
    big, small = found["models"].values()
    for model, size in ((big, SIZES["big"]), (small, SIZES["small"])):
        parameters = sum(p.numel() for p in build_asr(1, **size).parameters())
        assert model["parameters"] == sum(model["parts"].values()) == parameters
        assert model["bytes"] > 4 * parameters
        assert 0 < model["encoder"]["rtf"] < model["search"]["rtf"]
    assert big["macs_a_second"] > 4 * small["macs_a_second"]
    said = capsys.readouterr().out
    assert "| 1.00x |" in said
    assert "3 utterances, 6.0 s; 1 thread(s), warm-up of 2" in said


@pytest.mark.parametrize("arithmetic", ["float", "int8"])
def test_compressed_models_are_measured_as_well(place, arithmetic):
    for name in SIZES:
        quantize.main(["--exp", str(place / name), "--arithmetic", arithmetic])
    main(command(place, "--file", "valid.acc.ave.int8.pth"))
    found = json.loads((place / "cost.json").read_text())["models"]
    for exp, model in found.items():
        assert model["bytes"] == (Path(exp) / "valid.acc.ave.int8.pth").stat().st_size


def test_what_cannot_be_measured_is_refused(place):
    with pytest.raises(SystemExit):
        main(command(place, "--random", "maybe"))
    weights = place / "big" / "valid.acc.ave.pth"
    weights.rename(place / "elsewhere")
    with pytest.raises(SystemExit, match="none of the checkpoints"):
        main(command(place))
    (place / "elsewhere").rename(weights)
    (place / "f.scp").write_text("")
    with pytest.raises(SystemExit, match="holds no utterance"):
        main(command(place))


def test_transducers_are_measured_by_their_own_search(place):
    for name in SIZES:
        (place / name / "config.yaml").unlink()
        chunk_exp(place / name, hidden_size={"big": 16, "small": 8}[name])
    (place / "decode.yaml").write_text("beam_size: 1\nleft_context: 8\n")
    main(command(place, "--task", "asr_transducer", "--warm_up", "0"))
    models = json.loads((place / "cost.json").read_text())["models"].values()
    big, small = models
    assert {"encoder", "decoder", "joint_network", "ctc_lin"} == big["parts"].keys()
    assert big["parameters"] > small["parameters"]
    assert all(model["search"]["rtf"] > model["encoder"]["rtf"] > 0 for model in models)
