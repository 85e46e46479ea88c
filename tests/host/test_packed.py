"""Packed models and model tags: unpacked inside their folder, or refused."""

import re
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from espnet_kd.errors import ExperimentError
from espnet_kd.host.packed import from_zoo, is_packed, unpack

META = """
files: {lm_file: lm.pth, asr_model_file: asr.pth}
yaml_files: {lm_train_config: lm.yaml, asr_train_config: asr.yaml}
"""


def packed(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil"])
def test_a_zip_that_leaves_its_folder_is_refused(tmp_path, name):
    archive = packed(tmp_path / "m.zip", {"meta.yaml": "{}", name: "x"})
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(ExperimentError, match="would be written outside"):
        unpack(archive, folder)
    assert not list(folder.iterdir())
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(("is_lm", "name"), [(False, "asr"), (True, "lm")])
def test_of_two_packed_models_the_one_that_is_meant_is_taken(tmp_path, is_lm, name):
    members = {f"{part}.{kind}": part for part in ("asr", "lm") for kind in ("yaml", "pth")}
    archive = packed(tmp_path / "m.zip", {"meta.yaml": META, **members})
    folder = tmp_path / "in"
    found = unpack(archive, folder, is_lm)
    assert (found.config, found.weights) == (
        folder / f"{name}.yaml",
        folder / f"{name}.pth",
    )
    assert found.root == folder
    assert found.weights.read_text() == name


def test_a_packed_model_is_known_by_its_meta(tmp_path):
    assert is_packed(packed(tmp_path / "m.zip", {"meta.yaml": META}))
    assert not is_packed(packed(tmp_path / "c.pth", {"data.pkl": "x"}))
    (tmp_path / "text").write_text("no zip")
    assert not is_packed(tmp_path / "text")


def test_what_names_no_model_is_refused(tmp_path):
    archive = packed(tmp_path / "n.zip", {"meta.yaml": "files: {}\nyaml_files: {}"})
    with pytest.raises(ExperimentError, match=r"names no model; make it with"):
        unpack(archive, tmp_path / "in")
    (tmp_path / "text").write_text("no zip")
    with pytest.raises(ExperimentError, match="cannot be unpacked: BadZipFile: File is"):
        unpack(tmp_path / "text", tmp_path / "in")


@pytest.fixture
def zoo(monkeypatch):
    """Stand in for espnet_model_zoo; what is set is what a download gives."""
    answer = {}

    class ModelDownloader:
        def download_and_unpack(self, tag):
            if not answer:
                raise ConnectionError("no route")
            return answer

    module = ModuleType("espnet_model_zoo.downloader")
    module.ModelDownloader = ModelDownloader
    monkeypatch.setitem(sys.modules, "espnet_model_zoo", ModuleType("espnet_model_zoo"))
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", module)
    return answer


def test_a_tag_gives_its_recogniser_or_language_model(zoo):
    zoo |= {"asr_train_config": "a.yaml", "asr_model_file": "a.pth"}
    zoo |= {"lm_train_config": "l.yaml", "lm_file": "l.pth"}
    assert from_zoo("owner/name", is_lm=False).weights == Path("a.pth")
    assert from_zoo("owner/name", is_lm=True).config == Path("l.yaml")
    del zoo["lm_file"]
    with pytest.raises(ExperimentError, match="'owner/name' gave no config and"):
        from_zoo("owner/name", is_lm=True)


def test_a_tag_that_cannot_be_had_is_named(zoo, monkeypatch):
    with pytest.raises(ExperimentError, match="has not the form owner/name of a model tag"):
        from_zoo("exp/asr/teacher", is_lm=False)
    with pytest.raises(ExperimentError, match="cannot be downloaded: no route"):
        from_zoo("owner/name", is_lm=False)
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", None)
    with pytest.raises(ExperimentError, match="install espnet_model_zoo if"):
        from_zoo("owner/name", is_lm=False)


def test_what_is_packed_by_its_full_path_is_found_inside(tmp_path):
    outside = tmp_path / "asr.pth"
    outside.write_text("outside")
    meta = (
        f"files: {{asr_model_file: {outside}}}\nyaml_files: {{asr_train_config: /c.yaml}}"
    )
    members = {"meta.yaml": meta, str(outside).lstrip("/"): "inside", "c.yaml": ""}
    found = unpack(packed(tmp_path / "m.zip", members), tmp_path / "in")
    assert found.weights.read_text() == "inside"
    assert found.config == tmp_path / "in" / "c.yaml"


ITS_META = ": its meta.yaml"


@pytest.mark.parametrize(
    ("meta", "text"),
    [
        (
            "files: {asr: ../asr.pth}\nyaml_files: {asr: a.yaml}",
            f"{ITS_META} names no model",
        ),
        ("files: {asr: 5}\nyaml_files: {asr: a.yaml}", f"{ITS_META} names no model"),
        ("files: [1]\nyaml_files: {asr: a.yaml}", f"{ITS_META} names no model"),
        ("3", f"{ITS_META} names no model"),
        (
            "files: {asr: b.pth}\nyaml_files: {asr: a.yaml}",
            f"{ITS_META} names b.pth, which it has not",
        ),
        ("a: [", " cannot be unpacked: its meta.yaml: while parsing"),
    ],
)
def test_a_table_of_contents_that_leads_nowhere_is_refused(tmp_path, meta, text):
    (tmp_path / "asr.pth").write_text("x")
    archive = packed(tmp_path / "m.zip", {"meta.yaml": meta, "a.yaml": ""})
    with pytest.raises(ExperimentError, match=re.escape(f"m.zip{text}")):
        unpack(archive, tmp_path / "in")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("espnet_kd.host.packed.LARGEST", 1000)
    archive = tmp_path / "m.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("meta.yaml", META)
        file.writestr("zeros", bytes(10_000_000))
    with pytest.raises(ExperimentError, match=r"MB would become 0\.0 GB, which no"):
        unpack(archive, tmp_path / "in")
    assert not (tmp_path / "in").exists()
