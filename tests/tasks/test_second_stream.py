"""Trainings whose teacher hears another stream: where it is missing, and from disk."""

import kaldiio
import numpy as np
import pytest
import torch
import yaml
from conftest import INPUT_SIZE
from training import MASKS, arguments, cache_command

from espnet_kd.bin import cache_teacher, merge_cache
from espnet_kd.errors import TeacherError
from espnet_kd.host.kaldi_dir import read_table

pytestmark = pytest.mark.slow
TERMS = [
    {"type": "ctc_frame_kl", "weight": 0.3},
    {"type": "token_kl", "weight": 0.7},
    {"type": "hidden_mse", "weight": 0.1, "student": "encoder", "teacher": "encoder"},
]
GONE = {"train": ("train-03", "train-10"), "dev": ("dev-01",)}


def train(features, out, *more, **options):
    from espnet_kd.tasks.variants import KDASRTask

    KDASRTask.main(cmd=[*arguments(features, out, max_epoch=1, **options), *more])
    state = torch.load(out / "checkpoint.pth", weights_only=False)
    return state["reporter"]["stats"][1]


@pytest.fixture(scope="module")
def root(features, tmp_path_factory):
    """A teacher, and a second stream of all utterances, once whole and once with gaps."""
    root = tmp_path_factory.mktemp("streams")
    train(features, root / "teacher", role="teacher", seed=5)
    noise = np.random.default_rng(1)
    for split, gone in GONE.items():
        lens = read_table(features / split / "feats_shape")
        whole, gaps = (f"{root}/{split}.{kind}" for kind in ("whole", "gaps"))
        with (
            kaldiio.WriteHelper(f"ark,scp:{whole}.ark,{whole}.scp") as all_of_it,
            kaldiio.WriteHelper(f"ark,scp:{gaps}.ark,{gaps}.scp") as some_of_it,
        ):
            for utt, shape in lens.items():
                values = noise.standard_normal((int(shape.split(",")[0]), INPUT_SIZE))
                values = values.astype(np.float32)
                all_of_it(utt, values)
                some_of_it(utt, values[:0] if utt in gone else values)
    return root


def streams(root, kind):
    """ESPnet's options that bring the second stream along."""
    options = ["--allow_variable_data_keys", "true"]
    for split, prefix in (("train", "train"), ("dev", "valid")):
        data = f"{root}/{split}.{kind}.scp,clean,kaldi_ark"
        options += [f"--{prefix}_data_path_and_name_and_type", data]
    return options


def write_kd(root, name, targets="live", **heard):
    conf = {"teachers": [{"exp": str(root / "teacher"), "hears": "clean"} | heard]}
    path = root / f"{name}.yaml"
    path.write_text(yaml.safe_dump(conf | {"losses": TERMS, "targets": targets}))
    return ["--kd_conf", str(path)]


def test_utterances_that_lack_it_are_left_out(root, features):
    """Under SpecAugment's time warp, in batches of four, of one, and in the validation."""
    kd = write_kd(root, "skip", when_missing="skip")
    for size, seed in ((4, 1), (1, 2)):
        out = root / f"skipped{size}"
        more = [*streams(root, "gaps"), *kd]
        stats = train(features, out, *more, batch_size=size, seed=seed)
        for part in stats.values():
            assert np.isfinite(part["loss_kd"])
        assert stats["train"]["kd_taught"] == pytest.approx(22 / 24, abs=1e-6)
        assert stats["valid"]["kd_taught"] < 1


def test_without_skipping_the_utterance_is_named(root, features):
    kd = write_kd(root, "strict")
    with pytest.raises(TeacherError, match=r"'clean' that it hears is empty for 1 of"):
        train(features, root / "strict", *streams(root, "gaps"), *kd)


def test_from_disk_no_second_stream_is_read(root, features):
    caches = []
    for split in GONE:
        heard = f"{root}/{split}.whole.scp,clean,kaldi_ark"
        more = ["--parts", "ctc,decoder", "--tap", "encoder", "--hears", "clean"]
        more += ["--data_path_and_name_and_type", heard]
        caches.append(str(root / "cache" / split))
        folder = features / split
        cache_teacher.main(cache_command(root / "teacher", folder, caches[-1], *more))
        merge_cache.main(["--cache", caches[-1], "--key_file", f"{folder}/text"])
    same = {"seed": 7, "batch_size": 1, "specaug_conf": MASKS}
    live = [*streams(root, "whole"), *write_kd(root, "live")]
    values = [
        train(features, root / "live", *live, **same),
        train(features, root / "read", *write_kd(root, "read", targets=caches), **same),
    ]
    for part in ("train", "valid"):
        one, other = (value[part]["loss_kd"] for value in values)
        assert other == pytest.approx(one, rel=2e-3)
    kd = write_kd(root, "far", targets=caches, hears="far")
    with pytest.raises(TeacherError, match=r"is to hear 'far', and its .* of 'clean'; wr"):
        train(features, root / "far", *kd, specaug_conf=MASKS)
