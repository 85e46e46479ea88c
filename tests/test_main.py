"""python -m espnet_kd: transparent for whatever it runs."""

import os
import re
import subprocess
import sys

import pytest
from conftest import REPO

import espnet_kd
from espnet_kd.errors import KDError


def run(*arguments, **options):
    command = [sys.executable, "-m", "espnet_kd", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=REPO, check=False, **options
    )


def test_version_names_what_results_depend_on():
    answer = run("--version")
    assert answer.stdout.startswith(f"espnet_kd {espnet_kd.__version__} (espnet 20")
    assert "torch 2." in answer.stdout


def test_a_script_gets_its_arguments_verbatim_and_stdout_is_its_own(tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(
        "import sys\nassert __name__ == '__main__'\nprint(sys.argv[1:])\n"
        "assert 'torch' not in sys.modules and 'espnet2' not in sys.modules\n"
    )
    answer = run(str(script), "-m", "--", "a b", "--kd_conf", "x=1")
    assert answer.stdout == "['-m', '--', 'a b', '--kd_conf', 'x=1']\n"
    assert answer.stderr == ""


def test_a_module_reads_stdin_and_writes_stdout_as_without_the_plugin():
    arguments = ["--token_type", "char", "--input", "-", "--output", "-"]
    command = ["-m", "espnet2.bin.tokenize_text", *arguments]
    plain = subprocess.run(
        [sys.executable, *command], input="AB\n", capture_output=True, text=True
    )
    plugged = run(*command, input="AB\n")
    assert plugged.stdout == plain.stdout == "A B\n"


def test_exit_codes_pass_through(tmp_path):
    (tmp_path / "fail.py").write_text("raise SystemExit(7)\n")
    assert run(str(tmp_path / "fail.py")).returncode == 7


@pytest.mark.parametrize("arguments", [[], ["-m"]])
def test_without_a_module_the_usage_is_an_error(arguments):
    answer = run(*arguments)
    assert answer.returncode == 1
    assert answer.stderr.startswith("usage: python -m espnet_kd -m MODULE")
    assert answer.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-m", "no.such.module"], "no module named 'no.such.module' in "),
        (["-m", "espnet2.bin.asr_trian"], "no module named 'espnet2.bin.asr_trian' in "),
        (["no/such.py"], "no script no/such.py; a module's name comes after -m"),
        # The checkout has a folder of this name.
        (
            ["conf"],
            "no script conf; a module's name comes after -m; did you mean the command "
            "'confs'?",
        ),
    ],
)
def test_what_is_not_there_is_named_in_a_sentence(arguments, sentence):
    answer = run(*arguments)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith(f"espnet_kd: {sentence}")
    assert "Traceback" not in answer.stderr


def test_a_module_that_cannot_be_imported_says_why_itself(tmp_path):
    (tmp_path / "broken.py").write_text("import not_installed_here\n")
    path = {**os.environ, "PYTHONPATH": str(tmp_path)}
    answer = run("-m", "broken", env=path)
    assert "No module named 'not_installed_here'" in answer.stderr.splitlines()[-1]


def test_a_command_is_run_by_its_name():
    answer = run("score", "--help")
    assert answer.returncode == 0
    assert answer.stdout.startswith("usage: python -m espnet_kd.bin.score ")
    answer = run("check", "-m", "espnet2.bin.no_train")
    assert answer.returncode == 2
    assert "'espnet2.bin.no_train' is no training that can be checked" in answer.stderr


def test_a_command_that_is_mistyped_is_suggested():
    answer = run("chekc")
    assert answer.returncode == 1
    assert answer.stderr.endswith("comes after -m; did you mean the command 'check'?\n")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_no_error_and_lists_every_command(option):
    answer = run(option)
    assert answer.returncode == 0
    assert answer.stderr == ""
    assert answer.stdout.startswith("usage: python -m espnet_kd -m MODULE")
    assert "--version" in answer.stdout
    lines = answer.stdout.splitlines()
    names = [line.strip() for line in lines if re.fullmatch(r"  \w+", line)]
    # What "python -m espnet_kd.bin.NAME" can run: a module with a main.
    runnable = (REPO / "espnet_kd" / "bin").glob("*.py")
    expected = sorted(p.stem for p in runnable if "\ndef main(" in p.read_text())
    assert names == expected
    assert "      Score a decoding directory by sclite" in answer.stdout
    assert all(lines[lines.index(f"  {name}") + 1].endswith(".") for name in names)


def test_help_waits_for_no_torch():
    code = (
        "import sys; from espnet_kd.__main__ import main; main(['--help']);"
        "assert not {'torch', 'espnet2', 'numpy'} & sys.modules.keys()"
    )
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True, cwd=REPO)


def test_training_modules_understand_kd_conf_and_report_in_one_sentence(tmp_path):
    conf = tmp_path / "kd.yaml"
    conf.write_text("teachers: [{exp: a}]\nlosses: [{type: tokn_kl, weight: -1}]\n")
    (tmp_path / "tokens").write_text("a\n")
    answer = run(
        *("-m", "espnet2.bin.asr_train", "--output_dir", str(tmp_path / "out")),
        *("--token_list", str(tmp_path / "tokens"), "--kd_conf", str(conf)),
    )
    assert answer.returncode == 1
    message = answer.stderr[answer.stderr.index("espnet_kd: ") :]
    assert message.startswith(f"espnet_kd: 2 problems in {conf}\n")
    assert "did you mean 'token_kl'?" in message
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "out").exists()


def test_every_task_has_its_variant_importable_by_name(tmp_path):
    from espnet_kd.host.known_tasks import TASKS

    script = tmp_path / "look.py"
    script.write_text(
        "import importlib, pickle\n"
        f"for module, name in {list(TASKS.values())}:\n"
        "    cls = getattr(importlib.import_module(module), name)\n"
        "    assert cls.__module__ == 'espnet_kd.tasks.variants', cls\n"
        "    assert pickle.loads(pickle.dumps(cls.main_worker)).__self__ is cls\n"
        "    assert '--kd_conf' in cls.get_parser().format_help()\n"
    )
    answer = run(str(script))
    assert answer.returncode == 0, answer.stderr[-2000:]


@pytest.mark.parametrize(
    ("stock", "name", "module"),
    [
        ("espnet2.train.lightning_espnet_model", "LitESPnetModel", "lit_espnet"),
        (
            "espnet3.components.modeling.lightning_module",
            "ESPnetLightningModule",
            "espnet3",
        ),
    ],
)
def test_lightning_modules_have_variants_in_the_trainings_that_use_them(
    stock, name, module, tmp_path
):
    pytest.importorskip(stock.partition(".")[0])
    user = {
        "lit_espnet": "espnet2.bin.lightning_train",
        "espnet3": "espnet3.systems.base.training",
    }[module]
    script = tmp_path / "look.py"
    script.write_text(
        f"import {user} as user, {stock} as stock\n"
        f"assert user.{name} is stock.{name}\n"
        f"assert user.{name}.__module__ == 'espnet_kd.tasks.{module}', user.{name}\n"
        "if 'espnet3' in user.__name__:\n"
        "    from espnet3.utils.task_utils import get_task_class\n"
        "    for task in ('espnet3.systems.esp2_asr.task', 'espnet2.tasks.asr'):\n"
        "        assert get_task_class(f'{task}.ASRTask').__module__ == task\n"
    )
    answer = run(str(script))
    assert answer.returncode == 0, answer.stderr[-2000:]


def test_other_tasks_refuse_a_kd_conf_that_no_parser_saw(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "from argparse import Namespace\n"
        "from espnet2.tasks.hubert import HubertTask\n"
        "given = HubertTask.get_default_config() | {'print_config': False}\n"
        "given |= {'required': [], 'kd_conf': {'losses': []}}\n"
        "HubertTask.main(Namespace(**given))\n"
    )
    answer = run(str(script))
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith(
        "espnet_kd: HubertTask has no distillation, so that its kd_conf would be ignored; "
        "these tasks have it: asr, "
    )


def test_registration_that_comes_too_late_is_refused(monkeypatch):
    from espnet_kd.__main__ import VariantFinder, register

    finders = [f for f in sys.meta_path if not isinstance(f, VariantFinder)]
    monkeypatch.setattr(sys, "meta_path", finders)
    monkeypatch.setitem(sys.modules, "espnet2.tasks.st", sys)
    with pytest.raises(
        KDError, match=r"espnet2\.tasks\.st.* was imported before espnet_kd"
    ):
        register()


def test_a_script_finds_its_neighbours_from_anywhere(tmp_path):
    (tmp_path / "neighbour.py").write_text("NAME = 'next door'\n")
    (tmp_path / "main.py").write_text("import neighbour\nprint(neighbour.NAME)\n")
    answer = run(str(tmp_path / "main.py"))
    assert answer.stdout == "next door\n"


def test_a_task_without_distillation_says_which_tasks_have_it():
    answer = run("-m", "espnet2.bin.hubert_train", "--kd_conf", "x.yaml")
    assert answer.returncode == 2
    assert "usage" not in answer.stderr
    said = answer.stderr.splitlines()[-1]
    assert said.startswith(
        "espnet_kd: hubert_train.py has no distillation, so that its kd_conf would be "
        "ignored (its pre-training masks frames at random, "
    )
    assert "; these have it: espnet2.bin.asr_train, " in said
