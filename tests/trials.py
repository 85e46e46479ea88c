"""A corpus and a pair of models that are checked in a second, and easily broken."""

import zipfile
from pathlib import Path

import numpy as np
import sentencepiece
import torch
import yaml
from conftest import INPUT_SIZE, TOKENS, asr_options, build_asr, write_exp, write_split
from training import MASKS, arguments, write_kd

from espnet_kd.bin import check

WORD = "c"
# By this much a teacher prefers the word to everything else.
SURE = 8.0


def write_corpus(
    root: Path, frames: dict[str, int] | None = None, word: str = WORD
) -> Path:
    """Random features of utterances that all say one word; train and dev."""
    root.mkdir(exist_ok=True)
    (root / "tokens.txt").write_text("\n".join(TOKENS) + "\n")
    noise = np.random.default_rng(0)
    for name, count in (("train", 8), ("dev", 4)):
        lengths = {f"{name}-{n}": 40 + 2 * n for n in range(count)}
        if name == "train":
            lengths |= frames or {}
        rows = (
            (utt, noise.standard_normal((length, INPUT_SIZE)), word)
            for utt, length in lengths.items()
        )
        write_split(root / name, rows)
    return root


def write_teacher(
    folder: Path, *, sure: float = SURE, seed: int = 5, word: str = WORD, **options
) -> Path:
    """A teacher that says the word; with ``sure=0`` an untrained one."""
    options = {"width": 12, "blocks": 3} | options
    model = build_asr(seed, **options)
    with torch.no_grad():
        if model.ctc is not None:
            model.ctc.ctc_lo.bias[TOKENS.index(word)] += sure
        model.decoder.output_layer.bias[TOKENS.index(word)] += sure
    return write_exp(folder, model, asr_options(**options))


def write_packed_teacher(folder: Path) -> Path:
    """A teacher of word pieces that says the word; their model is in its zip alone."""
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c", "d e f"]),
        model_prefix=str(folder / "bpe"),
        vocab_size=20,
        hard_vocab_limit=False,
        model_type="word",
        minloglevel=2,
    )
    pieces = (folder / "bpe.vocab").read_text(encoding="utf-8").splitlines()[3:]
    tokens = ["<blank>", "<unk>", *(p.split("\t")[0] for p in pieces), "<sos/eos>"]
    options = {"width": 12, "blocks": 3, "tokens": tokens}
    options |= {"token_type": "bpe", "bpemodel": "exp/bpe.model"}
    model = build_asr(5, **options)
    with torch.no_grad():
        model.ctc.ctc_lo.bias[tokens.index(f"\u2581{WORD}")] += SURE
    write_exp(folder, model, asr_options(**options))
    files = {"asr_model_file": "exp/valid.acc.ave.pth"}
    meta = {"files": files, "yaml_files": {"asr_train_config": "exp/config.yaml"}}
    with zipfile.ZipFile(folder / "packed.zip", "w") as packed:
        packed.writestr("meta.yaml", yaml.safe_dump(meta))
        for name in ("config.yaml", "valid.acc.ave.pth", "bpe.model"):
            packed.write(folder / name, f"exp/{name}")
            (folder / name).unlink()
    return folder / "packed.zip"


def student_command(corpus: Path, root: Path, **more) -> list[str]:
    """The training of a student, that starts from parameters of its own."""
    start = root / "start.pth"
    if not start.exists():
        options = {"normalize": "utterance_mvn", "normalize_conf": {}}
        torch.save(build_asr(3, width=8, blocks=2, **options).state_dict(), start)
    settings = {"specaug_conf": MASKS, "init_param": [str(start)], "batch_size": 2} | more
    return arguments(corpus, root / "student", **settings)


class Trial:
    """A pair that works, and what is said of it when something is changed.

    Args:
        root: A directory of its own.
        corpus: Of ``write_corpus``.
        teacher: Of ``write_teacher``.
        capsys: What reads the command's output.
    """

    def __init__(self, root: Path, corpus: Path, teacher: Path, capsys) -> None:
        self.root, self.corpus, self.teacher = root, corpus, teacher
        self.capsys = capsys

    def check(self, *terms: dict, kd: dict | None = None, cmd=(), **settings):
        """Check the training; gives the status, what was printed, and the sentences."""
        kd = {"schedule": {"warmup_steps": 3}} | (kd or {})
        conf = write_kd(self.root / "kd.yaml", self.teacher, *terms, **kd)
        training = student_command(self.corpus, self.root, **settings)
        return self.run([*training, "--kd_conf", conf, *cmd])

    def run(self, training: list[str]):
        """The same of a whole command line."""
        own = ["--valid_utterances", "3", "--batches", "1", "-m", "espnet2.bin.asr_train"]
        try:
            check.main([*own, *training])
        except SystemExit as stop:
            status = stop.code
        printed = self.capsys.readouterr().out
        assert "Traceback" not in printed
        assert not (self.root / "student").exists(), "nothing is written there"
        return status, printed, [s[4:] for s in printed.splitlines() if s[:4] == "  - "]
