"""A checkpoint for stock --init_param, and every way in which there can be none."""

import kaldiio
import numpy as np
import pytest
import torch
import yaml
from conftest import INPUT_SIZE, asr_options, build_asr, write_exp
from training import arguments, weights

from espnet_kd.bin.init_student import main


@pytest.fixture
def place(tmp_path):
    """A teacher of three layers, and the config of a student of two."""
    settings = {"width": 8, "blocks": 3}
    write_exp(tmp_path / "teacher", build_asr(1, **settings), asr_options(**settings))
    write_student(tmp_path)
    return tmp_path


def write_student(place, **changes):
    keys = ("encoder", "encoder_conf", "decoder", "decoder_conf", "model_conf")
    options = asr_options(width=8, blocks=2)
    conf = {key: options[key] for key in keys} | changes
    (place / "student.yaml").write_text(yaml.safe_dump(conf))


def command(place, *more):
    return [
        *("--exp", str(place / "teacher"), "--student_config", str(place / "student.yaml")),
        *("--output", str(place / "init.pth"), *more),
    ]


def test_a_checkpoint_and_a_table(place, capsys):
    main(command(place, "--encoder_layers", "last"))
    teacher = torch.load(place / "teacher" / "valid.acc.ave.pth", weights_only=True)
    student = torch.load(place / "init.pth", weights_only=True)
    for name, value in student.items():
        source = name.replace("encoders.1.", "encoders.2.").replace("rs.0.", "rs.1.")
        source = source if name.startswith("encoder.encoders") else name
        assert torch.equal(value, teacher[source]), name
    table = (place / "init.md").read_text()
    assert "| encoder.encoders.1 | encoder.encoders.2 | copied |" in table
    assert capsys.readouterr().out in table + "\n"


def test_rows_follow_their_tokens(place):
    """The same tokens in another order: every row belongs to the token of its name."""
    teacher = torch.load(place / "teacher" / "valid.acc.ave.pth", weights_only=True)
    tokens = asr_options()["token_list"]
    order = [tokens[0], *tokens[-2:0:-1], tokens[-1]]
    (place / "tokens.txt").write_text("".join(f"{token}\n" for token in order))
    main(command(place, "--token_list", str(place / "tokens.txt")))
    student = torch.load(place / "init.pth", weights_only=True)
    by_token = ("ctc.ctc_lo", "decoder.output_layer", "decoder.embed.0")
    names = [n for n in student if n.rpartition(".")[0] in by_token]
    assert len(names) == 5  # weights of three, biases of two
    for name in names:
        for row, token in enumerate(order):
            assert torch.equal(student[name][row], teacher[name][tokens.index(token)])


def test_other_tokens_stay_random(place):
    tokens = asr_options()["token_list"]
    (place / "tokens.txt").write_text("\n".join([*tokens[:-1], "new", tokens[-1]]))
    main(command(place, "--token_list", str(place / "tokens.txt")))
    assert "| ctc.ctc_lo | random | of other tokens |" in (place / "init.md").read_text()
    student = torch.load(place / "init.pth", weights_only=True)
    assert len(student["ctc.ctc_lo.weight"]) == len(tokens) + 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<blank>\na\na\n<sos/eos>\n", "names 'a' more than once; give the"),
        ("<blank>\na\n\n\n", "names '' more than once"),
        ("", "begins with '', and ESPnet's lists with '<blank>'"),
        ("<blank> 0\na 1\n", "begins with '<blank> 0', and ESPnet's"),
    ],
)
def test_a_list_that_is_none(place, text, problem):
    (place / "tokens.txt").write_text(text)
    with pytest.raises(SystemExit, match=f"tokens.txt {problem}"):
        main(command(place, "--token_list", str(place / "tokens.txt")))


def test_stock_training_starts_from_it(place, features):
    """Without a step of learning the first model is the checkpoint."""
    from espnet2.tasks.asr import ASRTask

    main(command(place))
    conf = yaml.safe_load((place / "student.yaml").read_text())
    out = place / "student"
    options = conf | {"optim_conf": {"lr": 0.0}, "max_epoch": 1, "normalize": None}
    ASRTask.main(
        cmd=[
            *arguments(features, out, **options),
            *("--init_param", str(place / "init.pth")),
        ]
    )
    start = torch.load(place / "init.pth", weights_only=True)
    first = weights(out, epoch=1)
    assert start.keys() == first.keys()
    assert all(torch.equal(first[name], start[name]) for name in start)


def test_importance_may_be_measured_on_data(place):
    folder = place / "data"
    folder.mkdir()
    values = np.random.default_rng(0).standard_normal((60, INPUT_SIZE)).astype(np.float32)
    with kaldiio.WriteHelper(f"ark,scp:{folder}/f.ark,{folder}/f.scp") as writer:
        writer("utt", values)
    (folder / "text").write_text("utt abc\n")
    options = asr_options(width=4, blocks=2)
    write_student(place, encoder_conf=options["encoder_conf"])
    data = [f"{folder}/f.scp,speech,kaldi_ark", f"{folder}/text,text,text"]
    data = [word for path in data for word in ("--data_path_and_name_and_type", path)]
    found = []
    for kind in ("activation", "taylor"):
        main(command(place, "--importance", kind, *data))
        found.append(torch.load(place / "init.pth", weights_only=True))
        with pytest.raises(SystemExit, match=f"--importance {kind} is measured on data"):
            main(command(place, "--importance", kind))
    assert found[0]["ctc.ctc_lo.weight"].shape == found[1]["ctc.ctc_lo.weight"].shape


def test_the_command_line_is_not_taken_for_espnets(place, monkeypatch):
    """A program's own --data and --seed mean nothing to ESPnet's parser."""
    monkeypatch.setattr("sys.argv", ["x", "--data", "d", "--encoder", "rnn"])
    main(command(place))
    assert (place / "init.pth").exists()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"encoder": "conformer"},
            "encoder is 'conformer' and the teacher's 'transformer'",
        ),
        ({"decoder": "rnn", "decoder_conf": {}}, "Give the student 'decoder: transformer'"),
    ],
)
def test_other_kinds_of_parts_are_refused(place, changes, text):
    write_student(place, **changes)
    with pytest.raises(SystemExit, match=text):
        main(command(place))


def test_what_cannot_be_is_refused(place):
    with pytest.raises(SystemExit, match="--decoder_layers names layer 7"):
        main(command(place, "--decoder_layers", "7"))
    write_student(place, encoder_conf=asr_options(width=16)["encoder_conf"])
    with pytest.raises(SystemExit, match="output_size: is 16, wider than the teacher's 8"):
        main(command(place))
    (place / "student.yaml").write_text("- 1\n")
    with pytest.raises(SystemExit, match=r"student.yaml holds no configuration"):
        main(command(place))
    (place / "student.yaml").unlink()
    with pytest.raises(SystemExit, match=r"--student_config .*No such file"):
        main(command(place))


def test_models_of_unknown_layers_are_refused(place):
    with pytest.raises(SystemExit, match="the layers of 'lm' models are not known by name"):
        main(command(place, "--task", "lm"))
    assert not (place / "init.pth").exists()
