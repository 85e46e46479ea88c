"""Teachers on disk: found, read safely, checked whole."""

import zipfile

import pytest
import torch
import yaml
from conftest import asr_options, build_asr
from espnet2.tasks.asr import ASRTask

from espnet_kd.config.schema import TeacherConfig
from espnet_kd.errors import ExperimentError, TeacherError
from espnet_kd.host.experiment import open_experiment, read_settings
from espnet_kd.host.packed import ExperimentFiles
from espnet_kd.teachers.build import load_teacher


@pytest.fixture
def recipe(tmp_path):
    """A recipe directory with a trained teacher and its statistics, like ESPnet's."""
    exp = tmp_path / "recipe" / "exp" / "asr_teacher"
    exp.mkdir(parents=True)
    settings = asr_options(width=12, blocks=3)
    settings |= {"best_model_criterion": [["valid", "acc", "max"]]}
    save(exp, build_asr(seed=2, width=12, blocks=3).state_dict(), settings)
    return exp


def save(exp, weights, settings=None):
    torch.save(weights, exp / "1epoch.pth")
    link = exp / "valid.acc.best.pth"
    link.unlink(missing_ok=True)
    link.symlink_to("1epoch.pth")
    if settings is not None:
        (exp / "config.yaml").write_text(yaml.safe_dump(plain(settings)))


def plain(settings):
    kept = (str, int, float, bool, list, tuple, dict, type(None))
    return {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in settings.items()
        if isinstance(v, kept)
    }


def load(exp, **options):
    return load_teacher(TeacherConfig(str(exp), **options), ASRTask)


def open_model(exp):
    with open_experiment(exp) as experiment:
        return experiment.model(ASRTask)


def test_an_experiment_that_is_no_teacher_is_not_called_one(recipe):
    (recipe / "1epoch.pth").write_text("hello, I am no model\n")
    with pytest.raises(ExperimentError) as caught:
        open_model(recipe)
    assert "teacher" not in str(caught.value).replace(str(recipe), "")
    with pytest.raises(TeacherError, match=r"^teacher .*is damaged or no checkpoint"):
        load(recipe)


def test_loads_the_selected_checkpoint_frozen_and_evaluating(recipe):
    teacher = load(recipe)
    saved = torch.load(recipe / "1epoch.pth", weights_only=True)
    for name, value in teacher.model.state_dict().items():
        assert torch.equal(value, saved[name]), name
    assert not teacher.model.training
    assert not any(p.requires_grad for p in teacher.model.parameters())
    assert teacher.model.error_calculator is None
    assert teacher.model.ctc.dropout_rate == 0


def test_averaged_is_preferred_over_best_and_file_over_both(recipe):
    (recipe / "valid.acc.ave.pth").write_bytes(b"x")
    for file, chosen in ((None, "valid.acc.ave.pth"), ("1epoch.pth", "1epoch.pth")):
        with open_experiment(recipe, file) as experiment:
            assert experiment.files.weights.name == chosen


def test_loading_leaves_the_students_random_numbers_alone(recipe):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load(recipe)
    assert torch.equal(torch.rand(2), expected)


def test_paths_are_resolved_against_the_teachers_own_recipe(recipe, tmp_path, monkeypatch):
    # Both recipes have statistics at the same relative path; the teacher's are meant.
    relative = "exp/stats/feats_stats.npz"
    other = tmp_path / "other"
    for root in (recipe.parents[1], other):
        (root / relative).parent.mkdir(parents=True, exist_ok=True)
        (root / relative).write_bytes(b"x")
    config = yaml.safe_load((recipe / "config.yaml").read_text())
    config |= {"normalize_conf": {"stats_file": relative}, "bpemodel": "data/bpe.model"}
    (recipe / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(other)
    settings = read_settings(ExperimentFiles(recipe / "config.yaml", recipe / "x"))
    expected = str(recipe.parents[1] / relative)
    assert settings["normalize_conf"]["stats_file"] == expected
    assert settings["bpemodel"] == "data/bpe.model", "absent, and the model needs none"
    assert settings["model"] == "espnet"


def test_statistics_that_are_gone_are_named(recipe):
    config = yaml.safe_load((recipe / "config.yaml").read_text())
    config["normalize_conf"] = {"stats_file": "exp/gone/feats_stats.npz"}
    (recipe / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(TeacherError, match=r"stats_file: exp/gone.*own recipe directory"):
        load(recipe)


def test_missing_things_are_named(recipe, tmp_path):
    with pytest.raises(TeacherError, match=r"no such directory or file.*model tag"):
        load(tmp_path / "nowhere")
    with pytest.raises(TeacherError, match=r"no such directory or file.*model tag"):
        load("nobody/no_such_model")
    with pytest.raises(TeacherError, match="neither an experiment directory nor a zip"):
        load(recipe / "1epoch.pth")
    with pytest.raises(TeacherError, match=r"9epoch.pth does not exist"):
        load(recipe, file="9epoch.pth")
    (recipe / "valid.acc.best.pth").unlink()
    with pytest.raises(TeacherError, match=r"name one by 'file'. It has: 1epoch.pth"):
        load(recipe)
    (recipe / "config.yaml").unlink()
    with pytest.raises(TeacherError, match=r"config.yaml is missing"):
        load(recipe, file="1epoch.pth")


def test_missing_keys_are_refused_though_espnet_lets_them_pass(recipe):
    weights = torch.load(recipe / "1epoch.pth", weights_only=True)
    del weights["ctc.ctc_lo.weight"], weights["ctc.ctc_lo.bias"]
    save(recipe, weights)
    with pytest.raises(TeacherError, match=r"lacks 2 of.*ctc.ctc_lo.*stay random"):
        load(recipe)


def test_a_checkpoint_of_another_size_is_refused(recipe):
    save(recipe, build_asr(width=8, blocks=3).state_dict())
    with pytest.raises(TeacherError, match=r"does not fit its config\.yaml"):
        load(recipe)


def test_a_truncated_checkpoint_is_refused(recipe):
    data = (recipe / "1epoch.pth").read_bytes()
    (recipe / "1epoch.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(TeacherError, match="is damaged"):
        load(recipe)


def test_a_text_file_is_no_checkpoint(recipe):
    (recipe / "1epoch.pth").write_text("hello, I am no model\n")
    with pytest.raises(TeacherError, match="is damaged or no checkpoint"):
        load(recipe)


def packed(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_a_zip_that_is_no_packed_model_is_refused(tmp_path):
    archive = packed(tmp_path / "m.zip", {"readme.txt": "hi"})
    with pytest.raises(ExperimentError, match="neither an experiment directory nor a zip"):
        open_model(archive)


def test_a_zip_packed_by_espnet_loads(recipe, tmp_path):
    from espnet2.main_funcs.pack_funcs import pack

    archive = tmp_path / "model.zip"
    pack(
        files={"asr_model_file": str(recipe / "1epoch.pth")},
        yaml_files={"asr_train_config": str(recipe / "config.yaml")},
        outpath=str(archive),
    )
    teacher = load(archive)
    saved = torch.load(recipe / "1epoch.pth", weights_only=True)
    assert all(torch.equal(v, saved[k]) for k, v in teacher.model.state_dict().items())


def test_a_distilled_model_can_teach_in_turn(recipe):
    config = yaml.safe_load((recipe / "config.yaml").read_text())
    config["kd_conf"] = {"teachers": [{"exp": "nowhere"}]}
    (recipe / "config.yaml").write_text(yaml.safe_dump(config))
    assert load(recipe).model.token_list
