"""What pip builds, what it holds, and that it works where it is installed."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from datetime import date
from email import message_from_bytes
from pathlib import Path

import pytest
from conftest import REPO
from source import FILES, PACKAGE

import espnet_kd

CONFS = {f"espnet_kd/conf/kd/{path.name}" for path in (REPO / "conf/kd").glob("*.yaml")}
# These run in a minute: the hook itself, a command, configurations by their names.
TRIED = ("tests/hook/test_attach.py", "tests/bin/test_confs.py")


def call(*command, cwd, **more):
    words = [str(word) for word in command]
    answer = subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, check=False, **more
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def build_wheel(source, into):
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    call(*pip, "--no-build-isolation", "--wheel-dir", into, source, cwd=into)
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy, for building leaves its own folders behind."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("espnet_kd", "conf"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPO / name, copy / name, ignore=ignored)
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(REPO / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """Where the wheel is installed, not editable."""
    folder = tmp_path_factory.mktemp("installed") / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    call(*pip, "--target", folder, wheel, cwd=folder.parent)
    return folder


@pytest.fixture
def elsewhere(site):
    """An environment in which the installed package is found."""
    return os.environ | {"PYTHONPATH": str(site)}


def members(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
def test_the_wheel_holds_all_that_is_read(wheel):
    held = members(wheel)
    wanted = {str(path.relative_to(REPO)) for path in FILES} | CONFS
    wanted |= {"espnet_kd/py.typed", "espnet_kd/report/page.html.j2"}
    assert sorted(wanted - held.keys()) == []
    assert not [name for name in held if name.startswith(("tests/", "egs/", "conf/"))]
    info = f"espnet_kd-{espnet_kd.__version__}.dist-info/"
    assert held[f"{info}entry_points.txt"].decode().split("\n")[:2] == [
        "[console_scripts]",
        "espnet_kd = espnet_kd.__main__:console",
    ]
    about = message_from_bytes(held[f"{info}METADATA"])
    assert about["Version"] == espnet_kd.__version__
    assert (REPO / "README.md").read_text().strip() in about.as_string()
    assert any("LICENSE" in name for name in held)


@pytest.mark.slow
def test_nothing_that_a_lab_has_is_replaced(wheel):
    """No pin, no upper bound; of ESPnet and torch, which may be of any age, no bound."""
    info = f"espnet_kd-{espnet_kd.__version__}.dist-info/"
    about = message_from_bytes(members(wheel)[f"{info}METADATA"])
    always = [r for r in about.get_all("Requires-Dist") if "extra ==" not in r]
    assert {"espnet", "torch"} <= set(always)
    assert all(re.fullmatch(r"[\w-]+(>=[\d.]+)?", requirement) for requirement in always)
    assert "<" not in about["Requires-Python"]


@pytest.mark.slow
def test_the_source_distribution_builds_the_same_wheel(source, wheel, tmp_path):
    call(sys.executable, "setup.py", "-q", "sdist", "--dist-dir", tmp_path, cwd=source)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    assert (folder / "README.md").exists()
    assert (folder / "LICENSE").exists()
    again = build_wheel(folder, tmp_path)
    assert members(again).keys() == members(wheel).keys()


@pytest.mark.slow
def test_an_installed_wheel_finds_its_configurations(site, elsewhere, tmp_path):
    listed = call(site / "bin" / "espnet_kd", "--version", cwd=tmp_path, env=elsewhere)
    assert listed.startswith(f"espnet_kd {espnet_kd.__version__} (espnet 20")
    confs = (sys.executable, "-m", "espnet_kd.bin.confs")
    listed = call(*confs, cwd=tmp_path, env=elsewhere)
    assert listed.count("\n      Costs ") == len(CONFS)
    read = "from espnet_kd.config.read import read_kd_conf as r; print(r('ctc').source)"
    found = call(sys.executable, "-c", read, cwd=tmp_path, env=elsewhere).strip()
    assert Path(found) == site / "espnet_kd/conf/kd/ctc.yaml"


@pytest.mark.slow
def test_tests_pass_where_it_is_installed(site, elsewhere, tmp_path):
    """From a folder that has the tests and not the package."""
    for name in ("tests", "conf"):
        shutil.copytree(REPO / name, tmp_path / name)
    (tmp_path / "egs").symlink_to(REPO / "egs")
    shutil.copy(REPO / ".pytest.ini", tmp_path)
    where = "import espnet_kd; print(espnet_kd.__file__)"
    found = call(sys.executable, "-c", where, cwd=tmp_path, env=elsewhere).strip()
    assert Path(found).is_relative_to(site)
    pytest_here = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    said = call(*pytest_here, "-m", "not slow", *TRIED, cwd=tmp_path, env=elsewhere)
    assert " passed" in said


def test_the_changes_are_dated_and_of_this_version():
    text = (PACKAGE / "CHANGELOG.md").read_text(encoding="utf-8")
    version, day = re.search(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", text, re.M).groups()
    assert version == espnet_kd.__version__
    assert date.fromisoformat(day)
