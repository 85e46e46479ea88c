"""Tiny ESPnet models and data that every test may use."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch
import yaml
from shares import share_of

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

REPO = Path(__file__).resolve().parents[1]
RECIPE = REPO / "egs" / "TEMPLATE" / "asr_kd1"
SHARED = REPO.parent / "shared" / "data"
LETTERS = list("abcdefgh")
TOKENS = ["<blank>", "<unk>", *LETTERS, "<sos/eos>"]
INPUT_SIZE = 20
ENCODER = {
    "attention_heads": 2,
    "linear_units": 16,
    "dropout_rate": 0.1,
    "positional_dropout_rate": 0.0,
    "attention_dropout_rate": 0.0,
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to the other run what is its share of the tests marked ``dealt``."""
    dealt = [item for item in items if item.get_closest_marker("dealt")]
    left = set(dealt) - set(share_of(dealt))
    if left:
        config.hook.pytest_deselected(items=list(left))
        items[:] = [item for item in items if item not in left]


# An utterance, its features (T, D), and its text.
Row = tuple[str, np.ndarray, str]


def asr_options(
    width: int = 8,
    blocks: int = 2,
    *,
    encoder: str = "transformer",
    decoder_blocks: int = 1,
    ctc_weight: float = 0.3,
    tokens: list[str] | None = None,
    **more,
) -> dict:
    """Settings of a tiny hybrid model, as ESPnet's config.yaml holds them."""
    from espnet2.tasks.asr import ASRTask

    args = ASRTask.get_parser().parse_args(["--output_dir", "unused"])
    settings = vars(args) | {
        "token_list": list(tokens or TOKENS),
        "token_type": "char",
        "input_size": INPUT_SIZE,
        "frontend": None,
        "specaug": None,
        "normalize": None,
        "encoder": encoder,
        "encoder_conf": ENCODER | {"output_size": width, "num_blocks": blocks},
        "decoder": "transformer",
        "decoder_conf": {
            "attention_heads": 2,
            "linear_units": 16,
            "num_blocks": decoder_blocks,
            "dropout_rate": 0.1,
        },
        "model_conf": {"ctc_weight": ctc_weight},
        "ctc_conf": {},
        "required": ["output_dir", "token_list"],
    }
    return settings | more


def build_asr(seed: int = 0, **options) -> torch.nn.Module:
    """A tiny untrained ASR model, deterministic by seed."""
    from espnet2.tasks.asr import ASRTask

    from espnet_kd.host.compat import build_model

    torch.manual_seed(seed)
    return build_model(ASRTask, asr_options(**options))


def transducer(width: int = 8, seed: int = 1, **more) -> torch.nn.Module:
    """A transducer of the asr task, with an auxiliary CTC."""
    options = {"decoder": "transducer", "decoder_conf": {"hidden_size": width}}
    options |= {"joint_net_conf": {"joint_space_size": 8}, "width": width, "seed": seed}
    return build_asr(**(options | more)).eval()


def write_exp(folder: Path, model: torch.nn.Module, settings: dict) -> Path:
    """A model as ESPnet's training leaves it: config.yaml and valid.acc.ave.pth."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = (str, int, float, bool, list, dict, type(None))
    settings = {k: v for k, v in settings.items() if isinstance(v, kept)}
    settings["best_model_criterion"] = [["valid", "acc", "max"]]
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    torch.save(model.state_dict(), folder / "valid.acc.ave.pth")
    return folder


def write_features(folder: Path, frames: dict[str, int]) -> str:
    """Random features of some utterances; gives the option of ESPnet that reads them."""
    noise = np.random.default_rng(0)
    with kaldiio.WriteHelper(f"ark,scp:{folder}/f.ark,{folder}/f.scp") as writer:
        for utt, count in frames.items():
            values = noise.standard_normal((count, INPUT_SIZE))
            writer(utt, values.astype(np.float32))
    return f"{folder}/f.scp,speech,kaldi_ark"


@pytest.fixture
def student():
    """The smaller of the two models."""
    return build_asr(seed=1, width=8, blocks=2)


@pytest.fixture
def teacher():
    """The larger of the two models."""
    return build_asr(seed=2, width=12, blocks=3)


@pytest.fixture
def batch():
    """Three utterances of different lengths with their texts, as the trainer gives."""
    gen = torch.Generator().manual_seed(0)
    lengths = torch.tensor([60, 45, 33])
    speech = torch.randn(3, 60, INPUT_SIZE, generator=gen)
    speech[1, 45:] = 0
    speech[2, 33:] = 0
    text = torch.tensor([[2, 3, 4, 5], [6, 7, 8, -1], [9, 2, -1, -1]])
    return {
        "speech": speech,
        "speech_lengths": lengths,
        "text": text,
        "text_lengths": torch.tensor([4, 3, 2]),
        "utt_id": ["utt-a", "utt-b", "utt-c"],
    }


def clone(batch: dict) -> dict:
    """A batch of its own for a model that may overwrite it."""
    return {k: v.clone() if hasattr(v, "clone") else v for k, v in batch.items()}


def said_by_student(attachment, monkeypatch) -> list:
    """What the student says in each pass from now on, as its losses are given it."""
    goal, said = type(attachment.objective), []
    combine = goal.__call__

    def spy(self, loss, student, *more):
        said.append(student)
        return combine(self, loss, student, *more)

    monkeypatch.setattr(goal, "__call__", spy)
    return said


@pytest.fixture(scope="session")
def features(tmp_path_factory) -> Path:
    """A tiny Kaldi-style corpus of random features: train and dev."""
    return write_corpus(tmp_path_factory.mktemp("features"), frames=(40, 80))


def write_corpus(root: Path, frames: tuple[int, int]) -> Path:
    """Random features, of so many frames up to less than so many, with random letters."""
    rng = np.random.default_rng(0)
    (root / "tokens.txt").write_text("\n".join(TOKENS) + "\n")
    for name, count in (("train", 24), ("dev", 6)):
        write_split(root / name, _rows(name, count, frames, rng))
    return root


def _rows(
    name: str, count: int, frames: tuple[int, int], rng: np.random.Generator
) -> Iterator[Row]:
    for index in range(count):
        values = rng.standard_normal((int(rng.integers(*frames)), INPUT_SIZE))
        yield f"{name}-{index:02d}", values, "".join(rng.choice(LETTERS, 5))


def write_split(folder: Path, rows: Iterable[Row]) -> None:
    """Features, texts and shapes of utterances, as ESPnet's training reads them."""
    folder.mkdir()
    texts, shapes = [], []
    with kaldiio.WriteHelper(f"ark,scp:{folder}/feats.ark,{folder}/feats.scp") as writer:
        for utt, values, text in rows:
            writer(utt, values.astype(np.float32))
            texts.append(f"{utt} {text}\n")
            shapes.append(f"{utt} {len(values)},{values.shape[1]}\n")
    (folder / "text").write_text("".join(texts))
    (folder / "feats_shape").write_text("".join(shapes))


@pytest.fixture(scope="session")
def an4(tmp_path_factory):
    """AN4 laid out as Kaldi data directories, with its letters as tokens."""
    root = tmp_path_factory.mktemp("an4")
    subprocess.run(
        [sys.executable, str(SHARED / "an4" / "prepare.py"), str(root)], check=True
    )
    texts = (root / "train" / "text").read_text().splitlines()
    letters = sorted({c for line in texts for c in line.partition(" ")[2]} - {" "})
    tokens = ["<blank>", "<unk>", "<space>", *letters, "<sos/eos>"]
    (root / "tokens.txt").write_text("\n".join(tokens) + "\n")
    return root
