"""How the recipe's scripts end when they cannot go on, and the option of the teacher."""

import importlib
import subprocess
import sys

import combine_data
import pytest
import teacher_option
from conftest import RECIPE

from espnet_kd.errors import KDError


@pytest.mark.parametrize(
    ("script", "options", "ending"),
    [
        ("combine_data", "--output_dir out with bare", "not all of with, bare have a text"),
        ("extract_fbank", "--wav_scp gone --output out", "gone is missing; run the stage"),
        ("filter_data", "--data_dir bare --output_dir out", "bare/text is missing; run"),
        ("merge_feats", "--wav_scp w --output_dir out part", "part.scp is missing; run"),
        (
            "perturb_speed",
            "--data_dir with --output_dir out --audio_dir a --factors 0",
            "speed factors must be positive, got [0.0]",
        ),
        (
            "prepare_data",
            "--corpus gone --corpus_dir c --output_dir out --sets dev",
            "unknown corpus 'gone'; known: ",
        ),
        ("split_scp", "empty 2 out", "empty is empty"),
        ("train_tokens", "--text gone --output_dir out --nbpe 9", "gone is missing; run"),
        ("check_lm", "--lm_exp gone --asr_exp with", "gone/config.yaml cannot be read"),
        (
            "check_lm",
            "--lm_exp with --asr_exp bare",
            "bare/config.yaml holds no token_list",
        ),
        (
            "check_lm",
            "--lm_exp with --asr_exp other",
            "--lm_exp with has another token list",
        ),
        ("landed", "mark with", "cannot write with: Is a directory"),
        (
            "teacher_option",
            "--kd_config broken.yaml --exp e --file f",
            "--kd_config broken.yaml cannot be read: ",
        ),
    ],
)
def test_a_script_ends_in_a_sentence(script, options, ending, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("with", "bare", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "with" / "config.yaml").write_text("token_list: [a, b]\n")
    (tmp_path / "bare" / "config.yaml").write_text("token_list: null\n")
    (tmp_path / "other" / "config.yaml").write_text("token_list: [b, a]\n")
    (tmp_path / "with" / "text").write_text("a A\n")
    (tmp_path / "empty").touch()
    (tmp_path / "broken.yaml").write_text("teachers: [")
    with pytest.raises(SystemExit) as end:
        importlib.import_module(script).main(options.split())
    assert str(end.value).startswith(f"{script}: {ending}")


def test_an_utterance_of_two_directories_is_named(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for table in ("text", "utt2spk"):
            (tmp_path / name / table).write_text("a A\n")
    with pytest.raises(KDError, match=r"'a' is in .*two/utt2spk and in another before it"):
        combine_data.combine([tmp_path / "one", tmp_path / "two"], tmp_path / "out")


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        ("espeakng_loader.get_data_path()", "has no voice 'nowhere'; install the package"),
        ("'gone'", "does not start from gone; install the package espeakng-loader anew"),
    ],
)
def test_what_espeak_lacks_is_named(data, ending):
    """In a process of its own: the library starts once."""
    code = f"import espeak, espeakng_loader\nfolder = {data}\n"
    code += "espeakng_loader.get_data_path = lambda: folder\n"
    code += "espeak.Espeak().speak('hello', espeak.Voice('nowhere', 50, 50, 170))\n"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=RECIPE / "pyscripts",
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"KDError: espeak-ng {ending}" in answer.stderr


@pytest.mark.parametrize(
    ("config", "printed"),
    [
        (
            "teachers: [{exp: exp/other, view: same}]",
            "teachers=[{exp: exp/t, view: same, file: m.pth}]\n",
        ),
        (
            "teachers: [{exp: exp/other, weight: 0.75}, {lm: exp/lm, weight: 0.25}]",
            "teachers=[{exp: exp/t, weight: 0.75, file: m.pth}, "
            "{lm: exp/lm, weight: 0.25}]\n",
        ),
        ("teachers: [{exp: exp/a}, {exp: exp/b}]", ""),
        ("teachers: [{ema: 0.999}]", ""),
        ("losses: [{type: cr_ctc, weight: 0.2}]", ""),
        ("", ""),
        ("teachers: exp/other", ""),
        ("teachers: [exp/other]", ""),
    ],
)
def test_the_recipes_teacher_goes_where_one_is_wanted(config, printed, tmp_path, capsys):
    (tmp_path / "kd.yaml").write_text(config)
    paths = ["--kd_config", str(tmp_path / "kd.yaml"), "--exp", "exp/t", "--file", "m.pth"]
    teacher_option.main(paths)
    assert capsys.readouterr().out == printed
