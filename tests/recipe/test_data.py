"""Data preparation: what is read, what is refused, what is dropped."""

import sys

import extract_fbank
import filter_data
import landed
import merge_feats
import numpy as np
import perturb_speed
import prepare_data
import pytest
import soundfile
import split_scp
import train_tokens

from espnet_kd.errors import KDError
from espnet_kd.host import kaldi_dir

FS = 16000


def write_audio(path, seconds, fs=FS):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    soundfile.write(path, rng.uniform(-0.5, 0.5, int(seconds * fs)), fs)


@pytest.fixture
def corpus(tmp_path):
    """Two speakers in LibriSpeech's layout: 7 has two sentences, 8 has one."""
    for speaker, count in ((7, 2), (8, 1)):
        chapter = tmp_path / "corpus" / "dev-clean" / str(speaker) / "1"
        lines = []
        for index in range(count):
            name = f"{speaker}-1-{index:04d}"
            write_audio(chapter / f"{name}.flac", 0.5 + 0.25 * index)
            lines.append(f"{name} HELLO WORLD {'AGAIN' * index}\n")
        (chapter / f"{speaker}-1.trans.txt").write_text("".join(lines))
    return tmp_path / "corpus"


@pytest.fixture
def prepare(corpus, tmp_path, monkeypatch):
    """Run prepare_data on the corpus; gives the set's directory."""

    def run(*options):
        where = ["--corpus_dir", str(corpus), "--output_dir", str(tmp_path / "data")]
        command = ["prepare_data", "--corpus", "librispeech", *where]
        command += ["--sets", "dev_clean", *options]
        monkeypatch.setattr(sys, "argv", command)
        prepare_data.main()
        return tmp_path / "data" / "dev_clean"

    return run


def test_a_corpus_becomes_a_data_directory(prepare, corpus):
    folder = prepare()
    assert kaldi_dir.read_table(folder / "text") == {
        "7-1-0000": "HELLO WORLD",
        "7-1-0001": "HELLO WORLD AGAIN",
        "8-1-0000": "HELLO WORLD",
    }
    assert (folder / "spk2utt").read_text() == "7-1 7-1-0000 7-1-0001\n8-1 8-1-0000\n"
    lengths = kaldi_dir.read_table(folder / "utt2num_samples")
    assert lengths == {"7-1-0000": "8000", "7-1-0001": "12000", "8-1-0000": "8000"}
    expected = corpus / "dev-clean" / "8" / "1" / "8-1-0000.flac"
    assert kaldi_dir.read_table(folder / "wav.scp")["8-1-0000"] == str(expected)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda p: p.unlink(), "missing"),
        (lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 3]), "truncated"),
        (lambda p: write_audio(p, 0.5, fs=8000), "at 8000 Hz instead of 16000"),
        (lambda p: p.write_text("no audio"), "unreadable"),
    ],
    ids=["missing", "truncated", "rate", "text"],
)
def test_bad_audio_is_named_counted_and_stops(prepare, corpus, capsys, damage, reason):
    damage(corpus / "dev-clean" / "8" / "1" / "8-1-0000.flac")
    with pytest.raises(SystemExit, match=r"1 of 3 audio files are bad.*--drop_bad_audio"):
        prepare()
    error = capsys.readouterr().err
    assert "8-1-0000.flac" in error
    assert reason in error
    folder = prepare("--drop_bad_audio")
    assert set(kaldi_dir.read_table(folder / "text")) == {"7-1-0000", "7-1-0001"}


def test_unknown_sets_and_missing_subsets_are_named(prepare, corpus, monkeypatch):
    with pytest.raises(SystemExit, match="no set 'dev_cleen'; did you mean 'dev_clean'"):
        prepare("--sets", "dev_cleen")
    with pytest.raises(SystemExit, match=r"train-clean-100 is not there.*--librispeech_"):
        prepare("--sets", "train_clean_100")


def test_features_are_kaldis_and_split_merge_and_survive(prepare, tmp_path):
    folder, out = prepare(), tmp_path / "fbank"
    assert split_scp.split(folder / "wav.scp", 8, str(out / "wav")) == 3
    for job in (1, 2, 3):
        extract_fbank.extract(out / f"wav.{job}.scp", out / f"feats.{job}", FS, 80)
    parts = [out / f"feats.{job}" for job in (1, 2, 3)]
    merge_feats.merge(folder / "wav.scp", out, parts)
    # 25 ms windows every 10 ms: 1 + (8000 - 400) // 160 frames
    shapes = kaldi_dir.read_table(out / "feats_shape")
    assert shapes == {"7-1-0000": "48,80", "7-1-0001": "73,80", "8-1-0000": "48,80"}
    import kaldiio

    feats = kaldiio.load_scp(str(out / "feats.scp"))["7-1-0001"]
    assert feats.shape == (73, 80)
    wav = kaldi_dir.read_table(folder / "wav.scp")["7-1-0001"]
    again = extract_fbank.fbank(extract_fbank.read_audio(wav, FS), FS, 80)
    np.testing.assert_array_equal(feats, again)


def test_filter_banks_by_hand():
    # A tone of 1 kHz: the loudest of 80 Mel bins from 20 Hz to 8 kHz is the one whose
    # centre is nearest, (mel(1000) - mel(20)) / step - 1 with mel(f) = 1127 ln(1+f/700).
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / FS).astype(np.float32) * 8192
    mel = 1127 * np.log1p(np.array([20.0, 1000.0, 8000.0]) / 700)
    expected = round((mel[1] - mel[0]) / ((mel[2] - mel[0]) / 81) - 1)
    assert extract_fbank.fbank(tone, FS, 80).mean(0).argmax() == expected


def test_a_missing_part_of_the_features_is_named(prepare, tmp_path):
    folder, out = prepare(), tmp_path / "fbank"
    split_scp.split(folder / "wav.scp", 3, str(out / "wav"))
    extract_fbank.extract(out / "wav.1.scp", out / "feats.1", FS, 80)
    with pytest.raises(KDError, match=r"2 utterances.*no features, first '7-1-0001'"):
        merge_feats.merge(folder / "wav.scp", out, [out / "feats.1"])
    with pytest.raises(KDError, match="'7-1-0000' is in another part as well"):
        merge_feats.merge(folder / "wav.scp", out, [out / "feats.1"] * 2)


def test_a_full_disk_leaves_no_index(prepare, tmp_path, monkeypatch):
    folder, out = prepare(), tmp_path / "fbank"
    out.mkdir()

    class Full:
        """An ark writer on a disk that is full after one utterance."""

        def __init__(self, specifier):
            self.left = 1

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return False

        def __call__(self, utt, feats):
            if not self.left:
                raise OSError(28, "No space left on device")
            self.left -= 1

    monkeypatch.setattr(extract_fbank.kaldiio, "WriteHelper", Full)
    with pytest.raises(KDError, match=r"No space left on device. Free some space"):
        extract_fbank.extract(folder / "wav.scp", out / "feats.1", FS, 80)
    assert not list(out.iterdir())


def test_filter_names_what_it_drops_and_why(prepare, tmp_path, capsys):
    folder = prepare()
    kaldi_dir.write_table(
        folder / "text", kaldi_dir.read_table(folder / "text") | {"7-1-0000": ""}
    )
    options = {"fs": FS, "keep_empty_text": False}
    reasons = filter_data.find_unfit(folder, seconds=(0.1, 0.6), **options)
    assert reasons == {"7-1-0000": "empty text", "7-1-0001": "longer than 0.6 s"}
    filter_data.write_kept(folder, tmp_path / "final", reasons)
    assert list(kaldi_dir.read_table(tmp_path / "final" / "text")) == ["8-1-0000"]
    assert kaldi_dir.read_table(tmp_path / "final" / "dropped") == reasons
    assert "dropped 1 (empty text)" in capsys.readouterr().err
    short = filter_data.find_unfit(folder, seconds=(0.6, 9), **options)
    assert short["8-1-0000"] == "shorter than 0.6 s"
    with pytest.raises(KDError, match="nothing is left to train on"):
        filter_data.write_kept(
            folder,
            tmp_path / "none",
            dict.fromkeys(["7-1-0000", "7-1-0001", "8-1-0000"], "empty text"),
        )


def test_speed_perturbation_changes_length_and_names(prepare, tmp_path):
    folder = prepare()
    out = tmp_path / "sp"
    perturb_speed.perturb(folder, out, tmp_path / "audio", [0.8, 1.0])
    lengths = kaldi_dir.read_table(out / "utt2num_samples")
    assert lengths["8-1-0000"] == "8000"
    assert lengths["sp0.8-8-1-0000"] == "10000"  # 8000 / 0.8
    assert kaldi_dir.read_table(out / "utt2spk")["sp0.8-8-1-0000"] == "sp0.8-8-1"
    path = kaldi_dir.read_table(out / "wav.scp")["sp0.8-8-1-0000"]
    assert soundfile.info(path).frames == 10000
    with pytest.raises(KDError, match="speed factors must be positive"):
        perturb_speed.perturb(folder, out, tmp_path / "audio", [0.0])


def test_token_list_is_espnets(tmp_path):
    lines = [f"u{i} THE CAT SAT ON THE MAT\n" for i in range(9)]
    (tmp_path / "text").write_text("".join(lines))
    train_tokens.train(tmp_path / "text", tmp_path / "bpe", 14, "unigram")
    tokens = (tmp_path / "bpe" / "tokens.txt").read_text().split("\n")[:-1]
    assert tokens[:2] == ["<blank>", "<unk>"]
    assert tokens[-1] == "<sos/eos>"
    assert len(tokens) == len(set(tokens)) == 14
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(str(tmp_path / "bpe" / "bpe.model"))
    assert set(model.encode("THE CAT", out_type=str)) <= set(tokens)
    with pytest.raises(KDError, match="--nbpe 9000 does not suit this text"):
        train_tokens.train(tmp_path / "text", tmp_path / "big", 9000, "unigram")


def test_marks_know_fresh_from_stale(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.write_text("one")
    first = landed.fingerprint([data], [" --fs", "16000"])
    assert landed.fingerprint([data], [" --fs", "16000"]) == first
    assert landed.fingerprint([data], [" --fs", "8000"]) != first
    data.write_text("two")
    assert landed.fingerprint([data], [" --fs", "16000"]) != first
    data.unlink()
    assert landed.fingerprint([data], [" --fs", "16000"]) != first


def test_tables_refuse_doubles_and_name_what_is_missing(tmp_path):
    (tmp_path / "text").write_text("a 1\na 2\n")
    with pytest.raises(KDError, match="'a' comes twice"):
        kaldi_dir.read_table(tmp_path / "text")
    with pytest.raises(KDError, match="is missing; run the stage that makes it"):
        kaldi_dir.read_table(tmp_path / "gone")
