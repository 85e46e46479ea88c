"""Every command that reads files of a user's, and what it reads and leaves behind."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from unittest import mock

from conftest import RECIPE, REPO

from espnet_kd.errors import KDError
from espnet_kd.report.score import PLACES

AUDIO = tuple(f"audio/u{n}.flac" for n in (1, 2, 3, 4))
MODEL = ("exp/config.yaml", "exp/valid.acc.ave.pth", "exp/stats.npz")
STREAM = ("stream/config.yaml", "stream/valid.acc.ave.pth", "exp/stats.npz")
FEATS = ("data/feats.scp", "ark/feats.ark")
CACHE = ("cache/header.json", "cache/targets.scp", "cache/targets.1.ark")
SHARD = ("cache/targets.1.json", "cache/targets.1.scp", "cache/targets.1.ark")
EXP = "--exp exp --file valid.acc.ave.pth"
SPEECH = "--data_path_and_name_and_type data/feats.scp,speech,kaldi_ark"
TEXT = "--data_path_and_name_and_type data/text,text,text"
RUN = "test,exp,decode"


@dataclass(frozen=True)
class Command:
    """A command line, of which one input is going to be hostile.

    Attributes:
        name: As cases call it.
        call: The command, which takes its arguments.
        line: The arguments, with blanks between them.
        reads: The inputs, each of which may be made hostile.
        results: What there must be after it went well, and what may not be there after
            it did not.
        writes: Beginnings of the paths that it may write.
        slow: Whether it takes more than half a second.
        says: Whether it says why its status is not 0.
        places: What else may be named in place of a file.
    """

    name: str
    call: Callable[[list[str]], object]
    line: str
    reads: tuple[str, ...]
    results: tuple[str, ...] = ()
    writes: tuple[str, ...] = ("out/",)
    slow: bool = False
    says: bool = True
    places: tuple[str, ...] = ()


def of_bin(name: str) -> Callable[[list[str]], object]:
    """A command of ``espnet_kd.bin``."""

    def call(arguments: list[str]) -> None:
        import_module(f"espnet_kd.bin.{name}").main(arguments)

    return call


class _Forked:
    """A process of ``pseudo_label`` that need not import ESPnet again."""

    def __init__(self, command: list[str], **_options: object) -> None:
        self.child = os.fork()
        if not self.child:
            code = 1
            try:
                of_bin("pseudo_label")(command[3:])
                code = 0
            finally:
                os._exit(code)
        self.code = os.waitpid(self.child, 0)[1]

    def poll(self) -> int:
        """The status."""
        return self.code

    terminate = wait = poll


def joined(arguments: list[str]) -> None:
    """Decode all jobs, each in a process of its own, and join them."""
    with mock.patch("espnet_kd.pseudo_labels.decoding.subprocess.Popen", _Forked):
        of_bin("pseudo_label")(arguments)


def of_recipe(path: Path) -> Callable[[list[str]], object]:
    """A script of a recipe, by its file."""

    def call(arguments: list[str]) -> None:
        spec = importlib.util.spec_from_file_location(f"hostile_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # its dataclasses look themselves up
        spec.loader.exec_module(module)
        sys.argv = [path.name, *arguments]
        module.main(*(() if path.stem == "prepare" else (arguments,)))

    return call


def train(arguments: list[str]) -> None:
    """A training, ended as ``python -m espnet_kd`` ends it."""
    from espnet_kd.tasks.variants import KDASRTask

    try:
        KDASRTask.main(cmd=arguments)
    except KDError as error:
        sys.exit(f"espnet_kd: {error}")


def unpack(arguments: list[str]) -> None:
    """What stage 1 does with an archive that it has downloaded."""
    from download import unpack

    from espnet_kd.bin.command import named_errors

    with named_errors("prepare_data"):
        unpack(*map(Path, arguments))


def script(name: str) -> Callable[[list[str]], object]:
    """One of the recipe's scripts."""
    return of_recipe(RECIPE / "pyscripts" / f"{name}.py")


def local(name: str) -> Callable[[list[str]], object]:
    """One of AN4's own scripts."""
    return of_recipe(REPO / "egs" / "an4" / "asr_kd1" / "local" / f"{name}.py")


FEATURES = (
    Command(
        "cache_info", of_bin("cache_info"), "--cache cache --key_file data/text", CACHE
    ),
    Command(
        "merge_cache",
        of_bin("merge_cache"),
        "--cache cache --key_file data/text",
        (*SHARD, "data/text"),
        places=("cache",),
        writes=("cache/header.json", "cache/targets.scp"),
    ),
    Command(
        "cache_teacher",
        of_bin("cache_teacher"),
        f"{EXP} {SPEECH} {TEXT} --key_file data/text --parts ctc,decoder --output_dir out",
        (*MODEL, *FEATS, "data/text", "exp/bpe.model"),
    ),
    Command(
        "cache_resumed",
        of_bin("cache_teacher"),
        f"{EXP} {SPEECH} {TEXT} --key_file data/text --parts ctc,decoder "
        "--output_dir cache",
        SHARD,
        writes=("cache/targets.1",),
    ),
    Command(
        "check_teacher",
        of_bin("check_teacher"),
        f"{EXP} {SPEECH} --text data/text --max_wer 1000 --output out/gate.json",
        (*MODEL, *FEATS, "data/text", "exp/bpe.model"),
        ("out/gate.json",),
    ),
    Command(
        "init_student",
        of_bin("init_student"),
        f"{EXP} --student_config student.yaml --output out/init.pth",
        (*MODEL, "student.yaml"),
        ("out/init.pth", "out/init.md"),
    ),
    Command(
        "prune_units",
        of_bin("prune"),
        f"{EXP} --set encoder_conf.num_blocks=1 --output_dir out",
        MODEL,
        ("out/pruned.pth",),
        places=("--set encoder_conf",),
    ),
    Command(
        "prune_weights",
        of_bin("prune"),
        "--exp packed.zip --sparsity 0.5 --output_dir out",
        ("packed.zip",),
        ("out/pruned.pth",),
    ),
    Command(
        "quantize",
        of_bin("quantize"),
        f"{EXP} {SPEECH} --output out/small.pth",
        (*MODEL, *FEATS),
        ("out/small.pth",),
        slow=True,
    ),
    Command(
        "low_rank",
        of_bin("low_rank"),
        f"--exp packed.zip {SPEECH} --energy 0.5 --output out/small.pth",
        ("packed.zip", *FEATS),
        ("out/small.pth",),
    ),
    Command(
        "export_onnx",
        of_bin("export_onnx"),
        f"{EXP} {SPEECH} --int8 false --output_dir out",
        (*MODEL, *FEATS),
        ("out/ctc.onnx",),
        slow=True,
    ),
    Command(
        "measure",
        of_bin("measure"),
        f"{EXP} {SPEECH} --inference_config decode.yaml --utterances 1 --warm_up 0 "
        "--output out/cost.json",
        (*MODEL, *FEATS, "decode.yaml"),
        ("out/cost.json",),
        slow=True,
        places=("--inference_config",),
    ),
    Command(
        "latency",
        of_bin("latency"),
        f"--exp stream --reference_exp exp {SPEECH} {TEXT} --inference_config decode.yaml "
        "--output_dir out",
        (*STREAM, *FEATS, "data/text", "decode.yaml", "exp/bpe.model"),
        ("out/latency.json", "out/latency.md", "out/text"),
        slow=True,
        places=("--inference_config",),
    ),
    Command(
        "pseudo_label",
        of_bin("pseudo_label"),
        f"{EXP} --data_dir data --output_dir out --inference_config decode.yaml --job 1",
        (*MODEL, *FEATS, "decode.yaml", "exp/bpe.model"),
        slow=True,
        places=("--inference_config",),
    ),
    Command(
        "pseudo_label_joined",
        joined,
        f"{EXP} --data_dir data --output_dir labels --inference_config decode.yaml "
        "--reference data/text",
        ("labels/logdir/heard.1of1.jsonl", "data/text", "data/utt2spk", "data/wav.scp"),
        ("labels/text",),
        writes=("labels/",),
        slow=True,
    ),
)
RESULTS = (
    Command(
        "compare",
        of_bin("compare"),
        "--reference data/text --system a=decode/text --system b=data/text --draws 50",
        ("data/text", "decode/text"),
    ),
    Command(
        "report",
        of_bin("report"),
        f"--output_dir out --run teacher,1,beam,{RUN} --run control,1,beam,{RUN} "
        "--cost cost.json",
        (
            *("exp/config.yaml", "exp/train.log", "cost.json", "decode/score.json"),
            *("decode/score_wer/ref.trn", "decode/score_wer/hyp.trn"),
        ),
        ("out/RESULTS.md", "out/report.html", "out/wer_by_size.png"),
        slow=True,
    ),
)
SCORE = Command(
    "score",
    of_bin("score"),
    "--data_dir data --decode_dir decode",
    ("data/text", "data/utt2spk", "decode/text"),
    writes=("decode/",),
)
TRAININGS = (
    Command(
        "train",
        train,
        "--config train.yaml --kd_conf kd.yaml",
        ("kd.yaml", *MODEL),
        ("out/valid.loss.ave.pth",),
        slow=True,
        places=("teacher", "cache"),
    ),
    Command(
        "train_zip",
        train,
        "--config train.yaml --kd_conf kd_zip.yaml",
        ("kd_zip.yaml", "packed.zip"),
        ("out/valid.loss.ave.pth",),
        slow=True,
        places=("teacher", "cache"),
    ),
    Command(
        "train_cached",
        train,
        "--config train.yaml --kd_conf kd_cached.yaml",
        ("kd_cached.yaml", *CACHE),
        ("out/valid.loss.ave.pth",),
        slow=True,
        places=("teacher", "cache"),
    ),
)
SCRIPTS = (
    Command(
        "teacher_option",
        script("teacher_option"),
        "--kd_config kd.yaml --exp e --file f",
        ("kd.yaml",),
    ),
    Command(
        "prepare_data",
        script("prepare_data"),
        "--corpus mini --corpus_dir corpus --output_dir out --sets train_more --fs 8000",
        ("corpus/train-more/1/1-1.trans.txt", "corpus/train-more/1/1-1-u1.flac"),
        ("out/train_more/wav.scp", "out/train_more/text"),
    ),
    Command(
        "train_tokens",
        script("train_tokens"),
        "--text data/text --output_dir out --nbpe 12",
        ("data/text",),
        ("out/tokens.txt", "out/bpe.model"),
    ),
    Command(
        "perturb_speed",
        script("perturb_speed"),
        "--data_dir data --output_dir out/data --audio_dir out/audio --factors 0.9 1.0",
        (
            *("data/wav.scp", "data/text", "data/utt2spk", "data/utt2num_samples"),
            *AUDIO,
        ),
        ("out/data/utt2spk",),
    ),
    Command(
        "combine_data",
        script("combine_data"),
        "--output_dir out data",
        ("data/text", "data/utt2spk", "data/wav.scp", "data/utt2num_samples"),
        ("out/text",),
    ),
    Command(
        "filter_data",
        script("filter_data"),
        "--data_dir data --output_dir out/data --fs 8000",
        ("data/text", "data/utt2spk", "data/utt2num_samples", "data/feats.scp"),
        ("out/data/text",),
    ),
    Command(
        "extract_fbank",
        script("extract_fbank"),
        "--wav_scp data/wav.scp --output out/feats.1 --fs 8000 --n_mels 20",
        ("data/wav.scp", *AUDIO),
        ("out/feats.1.scp",),
    ),
    Command(
        "merge_feats",
        script("merge_feats"),
        "--wav_scp data/wav.scp --output_dir out made/feats.1",
        ("data/wav.scp", "made/feats.1.scp", "made/feats.1.shape"),
        ("out/feats_shape",),
    ),
    Command("split_scp", script("split_scp"), "data/wav.scp 2 out/part", ("data/wav.scp",)),
    Command(
        "landed",
        script("landed"),
        "mark out/mark --inputs data/text exp/valid.acc.ave.pth",
        ("data/text", "exp/valid.acc.ave.pth"),
        ("out/mark",),
    ),
    Command(
        "landed_check",
        script("landed"),
        "check made/mark --inputs data/text",
        ("made/mark", "data/text"),
        says=False,
    ),
    Command("unpack", unpack, "made/subset.tar.gz out", ("made/subset.tar.gz",)),
    Command(
        "an4",
        local("prepare"),
        "--source an4 --output_dir out",
        ("an4/train/feats.ark", "an4/train/text", "an4/dev/utt2spk"),
        ("out/train_75/text",),
    ),
    Command(
        "an4_audio",
        local("prepare_audio"),
        "--source corpus --output_dir out --dev_utterances 1",
        ("corpus/train.tsv", "corpus/test.tsv"),
        ("out/train_nodev/text",),
    ),
)
COMMANDS = (*FEATURES, *RESULTS, *TRAININGS, *SCRIPTS)
if any(map(shutil.which, PLACES)):
    COMMANDS += (SCORE,)
BY_NAME = {command.name: command for command in COMMANDS}
