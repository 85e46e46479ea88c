"""A data directory decoded by a teacher: by hand, killed, resumed, refused."""

import json

import kaldiio
import numpy as np
import pytest
import torch
import yaml
from conftest import INPUT_SIZE, TOKENS, asr_options, build_asr, write_exp

from espnet_kd.bin.pseudo_label import main
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.pseudo_labels import decoding

# Eight frames make one of the encoder's too few for its convolutions.
FRAMES = {"u1": 60, "u2": 45, "u3": 3, "u4": 50}


@pytest.fixture
def place(tmp_path):
    """A teacher whose CTC always gives 'c', four utterances, and how to search."""
    data = tmp_path / "data"
    data.mkdir()
    model = build_asr(width=8, blocks=1)
    with torch.no_grad():
        model.ctc.ctc_lo.bias[TOKENS.index("c")] = 1e4
    write_exp(tmp_path / "teacher", model, asr_options(width=8, blocks=1))
    random = np.random.default_rng(0)
    with kaldiio.WriteHelper(f"ark,scp:{data}/feats.ark,{data}/feats.scp") as writer:
        for utt, frames in FRAMES.items():
            values = random.standard_normal((frames, INPUT_SIZE))
            writer(utt, values.astype(np.float32))
    (data / "utt2spk").write_text("".join(f"{utt} s{utt}\n" for utt in FRAMES))
    (data / "utt2num_frames").write_text("".join(f"{u} {n}\n" for u, n in FRAMES.items()))
    search = {"ctc_weight": 1.0, "beam_size": 2, "lm_weight": 0.0}
    (tmp_path / "decode.yaml").write_text(yaml.safe_dump(search))
    return tmp_path


def command(place, *more):
    return [
        *("--exp", str(place / "teacher"), "--data_dir", str(place / "data")),
        *("--output_dir", str(place / "out"), *more),
        *("--inference_config", str(place / "decode.yaml")),
    ]


def test_a_directory_is_written_in_two_processes(place, capsys):
    reference = place / "ref"
    reference.write_text("u1 C\nu2 d\nu4 c\n")
    main(command(place, "--nj", "2", "--reference", str(reference), "--max_wer", "50"))
    out = place / "out"
    assert read_table(out / "text") == {"u1": "c", "u4": "c"}
    assert read_table(out / "dropped") == {
        "u2": "wer 100.0 > 50",
        "u3": "too short for the teacher",
    }
    whole = read_table(place / "data" / "feats.scp")
    assert read_table(out / "feats.scp") == {u: whole[u] for u in ("u1", "u4")}
    assert read_table(out / "utt2spk") == {"u1": "su1", "u4": "su4"}
    assert read_table(out / "spk2utt") == {"su1": "u1", "su4": "u4"}
    assert read_table(out / "utt2num_frames") == {"u1": "60", "u4": "50"}
    report = json.loads((out / "report.json").read_text())
    assert report["dropped"] == {"wer": 1, "too short for the teacher": 1}
    assert report["limits"]["max_wer"] == 50.0
    assert (report["wer"], report["wer_kept"]) == (33.333, 0.0)
    said = capsys.readouterr().err
    assert "4/4" in said
    assert "2 of 4 hypotheses kept" in said
    # All is decoded: other limits cost no more searching.
    for log in (out / "logdir").glob("decode.*.log"):
        log.unlink()
    main(command(place, "--nj", "2"))
    assert set(read_table(out / "text")) == {"u1", "u2", "u4"}
    assert not list((out / "logdir").glob("decode.*.log"))


def test_a_killed_job_goes_on(place, monkeypatch):
    """One utterance at a time is decoded; what a kill leaves is not decoded again."""
    decoded = []
    real = decoding._decoded

    def watched(search, utt, speech, options):
        decoded.append(utt)
        if len(decoded) == 2:
            raise KeyboardInterrupt
        return real(search, utt, speech, options)

    monkeypatch.setattr(decoding, "_decoded", watched)
    with pytest.raises(KeyboardInterrupt):
        main(command(place, "--job", "1"))
    main(command(place, "--job", "1"))
    assert decoded == ["u1", "u2", "u2", "u3", "u4"]
    main(command(place))
    assert set(read_table(place / "out" / "text")) == {"u1", "u2", "u4"}


def test_several_hypotheses_are_copies_of_the_audio(place):
    main(command(place, "--job", "1", "--nbest", "2"))
    main(command(place, "--nbest", "2"))
    texts = read_table(place / "out" / "text")
    second = {name for name in texts if name.startswith("nb2-")}
    assert second
    feats = read_table(place / "out" / "feats.scp")
    for name in second:
        assert feats[name] == feats[name.removeprefix("nb2-")]
        assert texts[name] != texts[name.removeprefix("nb2-")]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--max_wer", "5"], "--max_wer needs --reference"),
        (["--min_confidence", "7"], "min_confidence: is a probability"),
        (["--nj", "0"], "--nj and --nbest are at least 1"),
        (["--nj", "2", "--job", "3"], "--job 1 to --nj"),
    ],
)
def test_bad_arguments_are_refused(place, more, text):
    with pytest.raises(SystemExit, match=text):
        main(command(place, *more))


def test_an_unknown_search_option_is_refused(place):
    (place / "decode.yaml").write_text("beam_sise: 3\n")
    with pytest.raises(SystemExit, match=r"asr_inference: did you mean 'beam_size'"):
        main(command(place, "--job", "1"))
    (place / "decode.yaml").write_text("[1]\n")
    with pytest.raises(SystemExit, match=r"decode.yaml holds no 'option: value' lines"):
        main(command(place))
    (place / "decode.yaml").unlink()
    with pytest.raises(SystemExit, match=r"--inference_config .*No such file"):
        main(command(place))


def test_audio_that_is_not_there_is_named(place):
    (place / "data" / "feats.scp").rename(place / "data" / "wav.scp")
    with pytest.raises(SystemExit, match=r"has no feats.scp, and this teacher takes feat"):
        main(command(place))


def test_segments_are_refused(place):
    config = place / "teacher" / "config.yaml"
    settings = yaml.safe_load(config.read_text()) | {"input_size": None}
    config.write_text(yaml.safe_dump(settings))
    for name in ("wav.scp", "segments"):
        (place / "data" / name).write_text("u1 x\n")
    with pytest.raises(SystemExit, match="has segments of longer recordings"):
        main(command(place))


def test_a_failed_job_shows_the_end_of_its_log(place):
    weights = place / "teacher" / "valid.acc.ave.pth"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(SystemExit, match=r"(?s)job 1 failed.*damaged or no checkpoint"):
        main(command(place))


def test_when_nothing_is_left_the_reasons_are_told(place):
    main(command(place))
    assert (place / "out" / "text").exists()
    more = ["--min_confidence", "1", "--max_ratio", "0.1"]
    with pytest.raises(SystemExit, match=r"nothing is left of .*loosen the limits"):
        main(command(place, *more))
    assert not (place / "out" / "text").exists()


def test_another_teacher_is_refused(place):
    main(command(place, "--job", "1"))
    model = build_asr(seed=9, width=8, blocks=1)
    torch.save(model.state_dict(), place / "teacher" / "valid.acc.ave.pth")
    with pytest.raises(SystemExit, match="was begun with another teacher; remove it"):
        main(command(place))
