"""A healthy folder with a tiny one of everything that a user can hand over."""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import kaldiio
import numpy as np
import sentencepiece
import soundfile
import yaml
from conftest import INPUT_SIZE, asr_options, build_asr, write_exp
from pairs.kinds import encoder
from pairs.trial import STUDENT
from streams import block_exp

from espnet_kd.bin import cache_teacher, merge_cache, pseudo_label

UTTS = {"u1": "ab cab", "u2": "bad cab", "u3": "dab bad", "u4": "cab ab dab"}
FRAMES = {"u1": 40, "u2": 45, "u3": 52, "u4": 60}
RATE = 8000
PIECES = 14
DATA = ["--data_path_and_name_and_type", "data/feats.scp,speech,kaldi_ark"]
TEXT = ["--data_path_and_name_and_type", "data/text,text,text"]
EXP = ["--exp", "exp", "--file", "valid.acc.ave.pth"]
SEARCH = {"ctc_weight": 1.0, "beam_size": 2, "lm_weight": 0.0, "maxlenratio": 0.5}
KD = {
    "teachers": [{"exp": "exp", "file": "valid.acc.ave.pth"}],
    "losses": [
        {"type": "ctc_frame_kl", "weight": 0.3},
        {"type": "token_kl", "weight": 0.7, "temperature": 2.0},
    ],
    "schedule": {"warmup_steps": 2},
}
LOG = "1epoch results: [train] loss_task=2.0, acc=0.5, [valid] loss_task=3.0, kd_x=1.5\n"


def write_world(root: Path) -> None:
    """Write the folder; every path in it is relative to it.

    Args:
        root: An empty folder.
    """
    with _inside(root), redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        for name in (
            "data",
            "ark",
            "audio",
            "exp",
            "stream",
            "decode",
            "made",
            "corpus/train-more/1",
        ):
            Path(name).mkdir(parents=True)
        _write_data(Path("data"), Path("audio"))
        _write_exp()
        _write_zip()
        _write_configs()
        cache = ["--parts", "ctc,decoder", "--key_file", "data/text", "--output_dir"]
        cache_teacher.main([*EXP, *DATA, *TEXT, *cache, "cache"])
        merge_cache.main(["--cache", "cache", "--key_file", "data/text"])
        labels = ["--data_dir", "data", "--output_dir", "labels", "--job", "1"]
        pseudo_label.main([*EXP, *labels, "--inference_config", "decode.yaml"])
        _write_results()
        _write_corpora()


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _write_data(data: Path, audio: Path) -> None:
    noise = np.random.default_rng(0)
    with kaldiio.WriteHelper(f"ark,scp:ark/feats.ark,{data}/feats.scp") as writer:
        for utt, count in FRAMES.items():
            values = noise.standard_normal((count, INPUT_SIZE))
            writer(utt, values.astype(np.float32))
            wave = 0.1 * noise.standard_normal(count * 80)
            soundfile.write(audio / f"{utt}.flac", wave, RATE)
    tables = {
        "text": UTTS,
        "utt2spk": dict.fromkeys(UTTS, "spk"),
        "wav.scp": {utt: f"{audio}/{utt}.flac" for utt in UTTS},
        "utt2num_samples": {utt: count * 80 for utt, count in FRAMES.items()},
    }
    for name, table in tables.items():
        lines = "".join(f"{utt} {value}\n" for utt, value in table.items())
        (data / name).write_text(lines)
    shapes = "".join(f"{u} {n},{INPUT_SIZE}\n" for u, n in FRAMES.items())
    Path("feats_shape").write_text(shapes)


def _write_exp() -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(UTTS.values()),
        model_prefix="exp/bpe",
        vocab_size=PIECES,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    pieces = Path("exp/bpe.vocab").read_text(encoding="utf-8").splitlines()[3:]
    Path("exp/bpe.vocab").unlink()
    tokens = ["<blank>", "<unk>", *(p.split("\t")[0] for p in pieces), "<sos/eos>"]
    Path("tokens.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    ones = np.ones(INPUT_SIZE)
    np.savez("exp/stats.npz", count=np.array(9), sum=ones, sum_square=9 * ones)
    options = {
        "tokens": tokens,
        "token_type": "bpe",
        "bpemodel": "exp/bpe.model",
        "normalize": "global_mvn",
        "normalize_conf": {"stats_file": "exp/stats.npz"},
    }
    write_exp(Path("exp"), build_asr(3, **options), asr_options(**options))
    options |= {"shape": (8, 4, 2)}
    block_exp(Path("stream"), **options)
    Path("exp/train.log").write_text(LOG)


def _write_zip() -> None:
    meta = {
        "espnet": "202511",
        "files": {"asr_model_file": "exp/valid.acc.ave.pth"},
        "yaml_files": {"asr_train_config": "exp/config.yaml"},
    }
    with zipfile.ZipFile("packed.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("meta.yaml", yaml.safe_dump(meta))
        for name in ("config.yaml", "valid.acc.ave.pth", "stats.npz", "bpe.model"):
            packed.write(f"exp/{name}")


def _write_configs() -> None:
    tokens = Path("tokens.txt").read_text(encoding="utf-8").split()
    student = {key: STUDENT[key] for key in ("decoder", "decoder_conf", "model_conf")}
    student |= encoder("transformer", num_blocks=1)
    train = STUDENT | student | {"token_list": tokens, "batch_size": 4, "max_epoch": 1}
    train.pop("data")
    for prefix in ("train", "valid"):
        data = [["data/feats.scp", "speech", "kaldi_ark"], ["data/text", "text", "text"]]
        train[f"{prefix}_data_path_and_name_and_type"] = data
        train[f"{prefix}_shape_file"] = ["feats_shape"]
    train |= {"output_dir": "out", "token_type": "bpe", "bpemodel": "exp/bpe.model"}
    cached = {key: value for key, value in KD.items() if key != "teachers"}
    zipped = KD | {"teachers": [{"exp": "packed.zip"}]}
    confs = {"student": student, "train": train, "decode": SEARCH, "kd": KD}
    confs |= {"kd_cached": cached | {"targets": "cache"}, "kd_zip": zipped}
    for name, conf in confs.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(conf), encoding="utf-8")


def _write_results() -> None:
    Path("decode/text").write_text("u1 ab cab\nu2 bad\nu3 dab bad\nu4 cab\n")
    rates = {"error_rate": 25.0, "words": 9, "correct": 6}
    Path("decode/score.json").write_text(json.dumps({"wer": rates, "cer": rates}))
    Path("decode/score_wer").mkdir()
    for name in ("ref", "hyp"):
        lines = "".join(f"{text} (spk-{utt})\n" for utt, text in UTTS.items())
        Path(f"decode/score_wer/{name}.trn").write_text(lines)
    timing = {"rtf": 0.1, "latency": 0.2, "slowest": 0.3}
    model = {"parameters": 9, "parts": {"ctc": 9}, "bytes": 99, "macs_a_second": 5}
    setting = {"threads": 1, "warm_up": 1, "utterances": 4, "seconds": 2.0, "search": {}}
    setting |= {"versions": "torch", "peak_memory": 10**8}
    cost = {"setting": setting, "models": {"exp": model | dict.fromkeys(TIMED, timing)}}
    Path("cost.json").write_text(json.dumps(cost))


TIMED = ("encoder", "search")


def _write_corpora() -> None:
    folder = Path("corpus/train-more/1")
    lines = []
    for utt, text in UTTS.items():
        os.link(f"audio/{utt}.flac", folder / f"1-1-{utt}.flac")
        lines.append(f"1-1-{utt} {text}\n")
    (folder / "1-1.trans.txt").write_text("".join(lines))
    for name in ("train", "test"):
        rows = [f"{u}\taudio16/{u}.flac\t{text}\n" for u, text in UTTS.items()]
        Path(f"corpus/{name}.tsv").write_text("".join(rows))
    Path("corpus/audio16").mkdir()
    for utt in UTTS:
        soundfile.write(f"corpus/audio16/{utt}.flac", np.zeros(1600), 16000)
    for name in ("train", "dev", "test"):
        target = Path("an4") / name
        target.mkdir(parents=True)
        for file in ("feats.ark", "text", "utt2spk"):
            source = f"ark/{file}" if file.endswith(".ark") else f"data/{file}"
            os.link(source, target / file)
    Path("made/feats.1.scp").write_bytes(Path("data/feats.scp").read_bytes())
    Path("made/feats.1.shape").write_bytes(Path("feats_shape").read_bytes())
    Path("made/mark").write_text("0" * 64 + "\n")
    with tarfile.open("made/subset.tar.gz", "w:gz") as archive:
        archive.add("corpus/train-more", "LibriSpeech/train-more")
