"""8-bit files by command: written, decoded with one line, and refused."""

import pytest
from conftest import asr_options, build_asr, write_exp, write_features
from training import module

from espnet_kd.bin.quantize import main
from espnet_kd.student.compressed import is_compressed
from espnet_kd.tasks.variants import KDASRTask

SIZE = {"encoder": "conformer", "width": 16}


@pytest.fixture
def place(tmp_path):
    write_exp(tmp_path / "exp", build_asr(1, **SIZE), asr_options(**SIZE))
    write_features(tmp_path, dict.fromkeys("abc", 80))
    return tmp_path


def data(place):
    return ["--data_path_and_name_and_type", f"{place}/f.scp,speech,kaldi_ark"]


def test_it_says_how_small_and_how_far(place, capsys):
    main(["--exp", str(place / "exp"), "--arithmetic", "int8", *data(place)])
    said = capsys.readouterr().out
    file = place / "exp" / "valid.acc.ave.int8.pth"
    assert is_compressed(file)
    share = file.stat().st_size / (place / "exp" / "valid.acc.ave.pth").stat().st_size
    assert f"({share:.3f}); SQNR of the encoder's output" in said
    assert 35 < float(said.split()[-2]) < 70


@pytest.mark.parametrize("arithmetic", ["float", "int8"])
def test_one_line_decodes_it(place, arithmetic):
    main(["--exp", str(place / "exp"), "--arithmetic", arithmetic])
    exp, out = place / "exp", place / "out"
    files = ["--asr_train_config", f"{exp}/config.yaml"]
    files += ["--asr_model_file", f"{exp}/valid.acc.ave.int8.pth", "--output_dir", f"{out}"]
    search = ["--beam_size", "2", "--maxlenratio", "0.2", "--lm_weight", "0"]
    module("espnet_kd", "-m", "espnet2.bin.asr_inference", *files, *search, *data(place))
    decoded = (out / "1best_recog" / "score").read_text().splitlines()
    assert [line.split()[0] for line in decoded] == ["a", "b", "c"]
    model, _ = KDASRTask.build_model_from_file(model_file=f"{exp}/valid.acc.ave.int8.pth")
    assert hasattr(model.ctc.ctc_lo.weight, "qdata") is (arithmetic == "int8")


def test_students_take_espnets_own_quantisation(place):
    exp, out = place / "exp", place / "out"
    files = ["--asr_train_config", f"{exp}/config.yaml", "--output_dir", f"{out}"]
    files += [
        "--asr_model_file",
        f"{exp}/valid.acc.ave.pth",
        "--quantize_asr_model",
        "true",
    ]
    search = ["--beam_size", "2", "--maxlenratio", "0.2", "--lm_weight", "0"]
    module("espnet2.bin.asr_inference", *files, *search, *data(place), blocked=True)
    assert len((out / "1best_recog" / "score").read_text().splitlines()) == 3


def test_a_packed_model_needs_a_place_to_write_to(place):
    config, weights = place / "exp" / "config.yaml", place / "exp" / "valid.acc.ave.pth"
    packed = str(place / "packed.zip")
    files = ["--asr_train_config", str(config), "--asr_model_file", str(weights)]
    module("espnet2.bin.pack", "asr", *files, "--outpath", packed)
    with pytest.raises(SystemExit, match=r"no directory.*say --output FILE\.pth"):
        main(["--exp", packed])
    main(["--exp", packed, "--output", str(place / "w.pth")])
    assert is_compressed(place / "w.pth")
    (place / "f.scp").write_text("")
    with pytest.raises(SystemExit, match=r"f\.scp holds no utterance"):
        main(["--exp", str(place / "exp"), *data(place)])
