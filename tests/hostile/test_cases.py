"""What draws have found: each defect as a case of its own, and the sentence it has now."""

import shutil
import subprocess
import sys
from random import Random

import pytest
from hostile.commands import BY_NAME
from hostile.mutate import MUTATIONS
from hostile.trial import named, run

# Each of these ran something, hung, filled the memory or ended in a traceback once.
MENDED = {
    # A table of Kaldi's may name a command, and ESPnet's reader would run it.
    "low_rank data/feats.scp shell 1000179": "is a command",
    # kaldiio reads pickles in archives, and a cache was read by kaldiio.
    "cache_info cache/targets.1.ark pickle_in_ark 1": "cannot be read (ValueError)",
    "cache_info cache/targets.scp forged_index 4": "which is no place in an archive",
    "cache_resumed cache/targets.1.ark pickle_in_ark 2": "done",
    "check_teacher data/feats.scp pickled 5": "is a pickle in",
    "an4 an4/train/feats.ark pickle_in_ark 3": "is a pickle, which could run code",
    # Named pipes and devices were opened, and never end.
    "init_student exp/stats.npz pipe 1000005": "which is no file",
    "merge_cache cache/targets.1.json pipe 1000103": "a directory or a device",
    "cache_info cache/header.json device 1000340": "a directory or a device",
    "cache_resumed cache/targets.1.ark pipe 1000173": "is no file",
    "prune_units exp/valid.acc.ave.pth device 1000318": "a directory or a device",
    "check_teacher ark/feats.ark device 1000308": "which is no file",
    "prepare_data corpus/train-more/1/1-1.trans.txt pipe 1000190": "a directory or a dev",
    "perturb_speed audio/u3.flac pipe 1000260": "or no file",
    "unpack made/subset.tar.gz pipe 1000132": "or no file",
    # A circle of links is no file that is missing.
    "cache_resumed cache/targets.1.ark circle 1000411": "write to another directory",
    # YAML's aliases, nesting and scalars that PyYAML stumbles over.
    "teacher_option kd.yaml deep 1000019": "nested too deeply",
    "check_teacher exp/config.yaml laughs 1000172": "means more than 1,000,000 values",
    "prune_units exp/config.yaml cycle 6": "nested too deeply",
    "teacher_option kd.yaml scalar 1000257": "it holds a malformed value",
    # Bytes that are no text.
    "compare data/text noise 1000014": "no UTF-8 text",
    "split_scp data/wav.scp zeros 7": "NUL characters",
    # What ESPnet and its libraries make of what is damaged or of another type.
    "check_teacher ark/feats.ark cut 1000012": "cannot be read by ESPnet",
    "prune_units exp/stats.npz pickled_array 1000040": "no model that ESPnet can build",
    "check_teacher exp/bpe.model circle 1000174": "bpemodel",
    "cache_teacher exp/bpe.model folder 2000410": "which is no file",
    "an4 an4/train/feats.ark cut 1000711": "is damaged",
    "perturb_speed audio/u2.flac empty 1000056": "cannot be read",
    # What is whole and makes no sense.
    "cache_info cache/targets.1.ark forged_header 1000120": "is damaged (what it says)",
    "prune_weights packed.zip bad_meta 1": "its meta.yaml names no model",
    "prune_weights packed.zip member_less 1000187": "which it has not",
    "perturb_speed data/utt2spk other_key 2000022": "lacks 'u4' of wav.scp",
    "filter_data data/utt2num_samples cut 1000126": "no whole number",
    "compare data/text empty 1000796": "holds no words to compare with",
    "an4 an4/train/text empty 1000201": "too few to be split",
    # A word of a megabyte.
    "merge_cache data/text long_line 1000137": "is no name but",
    "cache_teacher data/text long_line 1000716": "characters",
}
SLOW = {
    "measure decode.yaml other_values 1000113": "--inference_config",
    "export_onnx data/feats.scp shell 1000180": "is a command",
    "train kd.yaml other_number 1000118": "must be between 1e-09 and 1e+09",
    "train_zip packed.zip member_less 1000187": "packed.zip",
    "report decode/score_wer/ref.trn controls 2000015": "are of other utterances",
    "report decode/score_wer/ref.trn empty 1000049": "holds no utterance",
    "report cost.json long_line 2000423": "was not written by espnet_kd.bin.measure",
    "pseudo_label exp/bpe.model gone 1000250": "cannot be decoded",
    "pseudo_label_joined labels/logdir/heard.1of1.jsonl controls 1000081": "is damaged",
}


@pytest.mark.dealt
@pytest.mark.parametrize(("case", "sentence"), MENDED.items(), ids=MENDED)
def test_what_was_mended_stays_mended(case, sentence, healthy, tmp_path):
    assert sentence in run(named(case), healthy, tmp_path)


def test_a_mark_in_another_encoding_is_stale_without_a_word(healthy, tmp_path):
    """Its bytes are compared, which need be no text."""
    case = named("landed_check made/mark utf16 2000267")
    assert run(case, healthy, tmp_path) == ""


@pytest.mark.slow
@pytest.mark.dealt
@pytest.mark.parametrize(("case", "sentence"), SLOW.items(), ids=SLOW)
def test_what_was_mended_and_takes_longer(case, sentence, healthy, tmp_path):
    assert sentence in run(named(case), healthy, tmp_path)


@pytest.mark.skipif("score" not in BY_NAME, reason="sclite is not installed")
@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("score data/text long_line 1000407", "which sclite cannot align"),
        ("score data/utt2spk long_line 2000339", "is no name for sclite"),
    ],
)
def test_what_sclite_would_take_hours_for_is_refused(case, sentence, healthy, tmp_path):
    assert sentence in run(named(case), healthy, tmp_path)


TRAIN = ["-m", "espnet_kd", "-m", "espnet2.bin.asr_train", "--config", "train.yaml"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "mutation", "command", "sentence"),
    [
        ("kd.yaml", "deep", [*TRAIN, "--kd_conf", "kd.yaml"], "nested too deeply"),
        (
            "cache/targets.1.ark",
            "pickle_in_ark",
            ["-m", "espnet_kd.bin.cache_info", "--cache", "cache"],
            "cannot be read (ValueError)",
        ),
    ],
)
def test_a_process_of_its_own_says_it_too(
    file, mutation, command, sentence, healthy, tmp_path
):
    folder = tmp_path / "here"
    shutil.copytree(healthy, folder)
    MUTATIONS[mutation].apply(folder / file, Random(0), tmp_path / "canary")
    answer = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert answer.returncode in (1, 2)
    assert sentence in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "canary").exists()
