"""The options of recipes: which there are, which values are good, what else is said."""

import re
import subprocess
import sys

import option_kinds as kinds
import pytest
import read_options
from conftest import RECIPE, REPO
from recipe_options import GROUPS, TABLE

OPTIONS = TABLE.options

LIBRISPEECH = REPO / "egs" / "librispeech" / "asr_kd1"
SCRIPTS = sorted(RECIPE.rglob("*.sh"))


@pytest.fixture
def good(tmp_path, monkeypatch):
    """Settings with nothing wrong: the defaults, and the configurations that are needed."""
    monkeypatch.chdir(tmp_path)
    settings = {name: option.default for name, option in OPTIONS.items()}
    for name in ("teacher_config", "student_config", "kd_config", "inference_configs"):
        (tmp_path / f"{name}.yaml").touch()
        settings[name] = f"{name}.yaml"
    return settings


def run(*options, recipe=LIBRISPEECH):
    """Run a recipe that is to end before it writes or installs anything."""
    return subprocess.run(
        ["./run.sh", *options],
        cwd=recipe,
        env={"PATH": "/usr/bin:/bin", "KD_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (kinds.whole(0), ["0", "7", "999999999"]),
        (kinds.number(), ["0.9", "1", "1e3", ".5", "1.", "2.5E-1"]),
        (kinds.number(zero=True, infinite=True), ["0", "inf", "30.0"]),
        (kinds.choice("fbank", "raw"), ["fbank", "raw"]),
        (kinds.boolean(), ["true", "false"]),
        (kinds.anything(), ["", "--max_epoch 1", "a;b"]),
        (kinds.name(), ["train_960", "valid.acc.ave.pth", "a-b"]),
        (kinds.path(), ["exp/a", "../x", "/exp/y"]),
        (kinds.optional(kinds.name()), ["", "a"]),
        (kinds.optional(kinds.config(), "none"), ["none"]),
        (kinds.several(kinds.whole(0)), ["1", "1 2 3"]),
    ],
)
def test_good_values(kind, values):
    assert [kind.problem(value) for value in values] == [""] * len(values)


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (kinds.whole(0), "seven", "must be a whole number of at least 0, got 'seven'"),
        (kinds.whole(0), "-1", "must be a whole number of at least 0, got '-1'"),
        (kinds.whole(), "0", "must be a whole number of at least 1, got '0'"),
        (kinds.whole(), "1.5", "must be a whole number of at least 1, got '1.5'"),
        (kinds.whole(), "", "must be a whole number of at least 1, got ''"),
        (kinds.whole(), "1000000000", "must have at most nine digits, got '1000000000'"),
        (kinds.number(), "0", "must be a number above 0, got '0'"),
        (kinds.number(), "inf", "must be a number above 0, got 'inf'"),
        (kinds.number(), "1_0", "must be a number above 0, got '1_0'"),
        (kinds.number(zero=True), "-1", "must be a number of at least 0, got '-1'"),
        (kinds.number(infinite=True), "nan", "must be a number above 0 or inf, got 'nan'"),
        (kinds.choice("fbank", "raw"), "mfcc", "must be fbank or raw, got 'mfcc'"),
        (kinds.boolean(), "yes", "must be true or false, got 'yes'"),
        (kinds.name(), "a b", "must be a word without comma or slash, got 'a b'"),
        (kinds.name(), "a/b", "must be a word without comma or slash, got 'a/b'"),
        (kinds.path(), "my exp", "must be a path without blank or comma, got 'my exp'"),
        (kinds.folder(), "gone", "no such folder: 'gone'"),
        (kinds.folder(), "", "must be a path without blank or comma, got ''"),
        (kinds.config(), "gone.yaml", "no such config: 'gone.yaml'"),
        (kinds.config(), "", "is needed: name a configuration file"),
        (
            kinds.optional(kinds.config(), "none"),
            "",
            "is needed: name a configuration file",
        ),
        (kinds.several(kinds.config()), " ", "is needed: name one or more"),
        (kinds.several(kinds.config()), "a.yaml b.yaml", "no such config: 'a.yaml'"),
        (kinds.several(kinds.whole()), "1 2 1", "names '1' twice"),
    ],
)
def test_bad_values_are_refused_in_a_sentence(kind, value, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kind.problem(value) == problem


def test_every_value_is_judged_by_its_own_option(good):
    assert read_options.problems_of(good) == []
    bad = {"stage": "seven", "download": "yes", "seeds": "", "feats_type": "mfcc"}
    assert read_options.problems_of(good | bad) == [
        "--stage: must be a whole number of at least 0, got 'seven'",
        "--download: must be true or false, got 'yes'",
        "--feats_type: must be fbank or raw, got 'mfcc'",
        "--seeds: is needed: name one or more",
    ]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            {"stage": "9", "stop_stage": "8"},
            "--stop_stage 8 is before --stage 9: no stage is left to run",
        ),
        (
            {"corpus": "minii"},
            "--corpus minii is none that stage 1 prepares (librispeech, mini, "
            "mini_librispeech); did you mean mini? Give data of your own by --kaldi_data "
            "or --prepared",
        ),
        (
            {"kd_config": "none"},
            "--kd_config none needs --unlabelled_set or --init_student true: there is "
            "nothing else to have from a teacher",
        ),
        (
            {"prepared": ".", "speed_perturb_factors": "0.9 1.0"},
            "--prepared data is not perturbed here: clear --speed_perturb_factors",
        ),
        (
            {"prepared": ".", "kaldi_data": "."},
            "--prepared and --kaldi_data both name the data: keep one of them",
        ),
        (
            {"teacher_hears": ".", "cache_targets": "true"},
            "--teacher_hears teaches live: give --cache_targets false with it",
        ),
        (
            {"teacher_hears": ".", "unlabelled_set": "more"},
            "--teacher_hears teaches live: give --unlabelled_set '' with it",
        ),
        (
            {"teacher_hears": "."},
            "--teacher_hears: dev/final/feats.scp is missing; name another run's "
            "dump/fbank",
        ),
        (
            {"unlabelled_set": "dev"},
            "--unlabelled_set dev is one of --valid_set and --test_sets, too; a model is "
            "judged by what it has not heard",
        ),
        (
            {"student_train_set": "test"},
            "--student_train_set test is one of --valid_set and --test_sets, too; a model "
            "is judged by what it has not heard",
        ),
        (
            {"student_train_set": "train_small", "unlabelled_set": "train_rest"},
            "--unlabelled_set train_rest and --student_train_set train_small share "
            "train-small; name audio whose transcripts the student has not",
        ),
        (
            {"corpus": "an4", "stage": "2", "unlabelled_set": "train_small"},
            "--unlabelled_set train_small and --student_train_set train_small share "
            "train_small; name audio whose transcripts the student has not",
        ),
        (
            {"task": "asr_transducer", "cache_targets": "true"},
            "--cache_targets true holds no transducer's lattice: leave it out with --task "
            "asr_transducer, whose teacher teaches live",
        ),
    ],
)
def test_what_options_say_together(good, changed, problem):
    assert read_options.problems_of(good | changed) == [problem]


@pytest.mark.parametrize(
    "changed",
    [
        {"stage": "9", "stop_stage": "9"},
        {"corpus": "an4", "stage": "2"},
        {"corpus": "an4", "prepared": "."},
        {"corpus": "an4", "kaldi_data": ".", "speed_perturb_factors": "0.9 1.0"},
        {"kd_config": "none", "init_student": "true"},
        {"kd_config": "none", "unlabelled_set": "more"},
        {"speed_perturb_factors": "0.9 1.0"},
        {"task": "asr_transducer"},
        {"cache_targets": "true"},
        {"student_train_set": "train_few", "unlabelled_set": "train_rest"},
    ],
)
def test_what_goes_together(good, changed):
    assert read_options.problems_of(good | changed) == []


@pytest.mark.parametrize("value", ["recommended", "conf"])
def test_a_name_is_no_path_of_a_recipe(value):
    assert "which is a path here, such as conf/NAME.yaml" in kinds.config().problem(value)


@pytest.mark.parametrize("value", ["01", "00"])
def test_one_number_is_written_in_one_way(value):
    assert "must be a whole number" in kinds.whole(0).problem(value)


def test_what_the_teacher_hears_is_there(good, tmp_path):
    (tmp_path / "dump/dev/final").mkdir(parents=True)
    (tmp_path / "dump/dev/final/feats.scp").touch()
    assert read_options.problems_of(good | {"teacher_hears": "dump"}) == []


def test_a_language_model_counts_as_its_configs_say(good, tmp_path):
    """ESPnet gives one that is not weighed the weight 1."""
    (tmp_path / "lm").mkdir()
    with_lm = good | {"lm_exp": "lm"}
    for name, text in (("config.yaml", "asr: conformer\n"), ("valid.loss.ave.pth", "")):
        assert read_options.problems_of(with_lm) == [
            f"--lm_exp: lm/{name} is missing; see --lm_model"
        ]
        (tmp_path / "lm" / name).write_text(text)
    assert read_options.problems_of(with_lm) == [
        "--lm_exp: lm is no language model, such as lm_train trains"
    ]
    (tmp_path / "lm/config.yaml").write_text("lm: transformer\n")
    assert read_options.problems_of(with_lm) == [
        "--lm_exp: inference_configs.yaml has no lm_weight; write how much the language "
        "model counts in that search, 0 for nothing"
    ]
    (tmp_path / "inference_configs.yaml").write_text("beam_size: 5\nlm_weight: 0.1\n")
    assert read_options.problems_of(with_lm) == []
    assert read_options.problems_of(with_lm | {"streaming": "true"}) == [
        "--streaming true searches without a language model: leave out --lm_exp"
    ]


def test_audio_is_not_ready_features(good, tmp_path):
    (tmp_path / "train_all").mkdir()
    (tmp_path / "train_all/wav.scp").touch()
    assert read_options.problems_of(good | {"prepared": "."}) == [
        "train_all has audio (wav.scp) and no features (feats.scp): give the folder by "
        "--kaldi_data, and stages 2 to 4 make them"
    ]
    assert read_options.problems_of(good | {"prepared": ".", "feats_type": "raw"}) == []
    (tmp_path / "train_all/feats.scp").touch()
    assert read_options.problems_of(good | {"prepared": "."}) == []


def test_pairs_are_read_and_the_last_of_two_holds():
    call = read_options.parse(
        ["--nj", "3", "--student-args", "--max_epoch 1", "--tag", "a", "--nj", "4"]
    )
    assert call.problems == []
    assert not call.asks_for_help
    changed = {n: v for n, v in call.settings.items() if v != OPTIONS[n].default}
    assert changed == {"nj": "4", "student_args": "--max_epoch 1", "tag": "a"}


@pytest.mark.parametrize(
    ("words", "checkpoint"),
    [
        ("", "valid.acc.ave.pth"),
        ("--task asr", "valid.acc.ave.pth"),
        ("--task asr_transducer", "valid.loss.ave.pth"),
        ("--inference_model 9epoch.pth --task asr_transducer", "9epoch.pth"),
        ("--task asr_transducer --task asr", "valid.acc.ave.pth"),
    ],
)
def test_epochs_are_chosen_by_what_models_of_a_task_have(words, checkpoint):
    call = read_options.parse(words.split())
    assert call.problems == []
    assert call.settings["inference_model"] == checkpoint


def test_a_task_that_the_recipe_does_not_know_is_refused(good):
    assert read_options.problems_of(good | {"task": "st"}) == [
        "--task: must be asr or asr_transducer, got 'st'"
    ]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--stats_dir X", "unknown option --stats_dir; "),
        ("--command hello", "unknown option --command; "),
        ("--xyz 1", "unknown option --xyz; --help lists all"),
        (
            "--kd_confg x.yaml",
            "unknown option --kd_confg; did you mean --kd_config? --help lists all",
        ),
        ("--nj", "--nj needs a value after it"),
        ("--nj 2 3", "what is '3'? It is neither an option nor an option's value; "),
    ],
)
def test_words_that_are_no_options(words, problem):
    call = read_options.parse(words.split())
    assert len(call.problems) == 1
    assert call.problems[0].startswith(problem)
    assert set(call.settings) == set(OPTIONS)


def test_every_problem_is_told_at_once_and_nothing_runs():
    data = LIBRISPEECH / "data"
    before = data.exists()
    answer = run("--stage", "seven", "--stats_dir", "X", "--command", "hello", "stray")
    assert answer.returncode == 2
    assert answer.stdout == ""
    lines = answer.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["asr_kd.sh"] * 4
    for text in ("--stage: must be", "--stats_dir;", "--command;", "what is 'stray'?"):
        assert answer.stderr.count(text) == 1
    assert data.exists() == before


@pytest.mark.parametrize("text", ["$(touch made)", "a'b", 'a"b', "a\nb", "`id`", "\\", ""])
def test_values_reach_the_shell_as_they_are(text, tmp_path):
    lines = read_options.assignments({"tag": text, "nj": "2"})
    shown = subprocess.run(
        ["bash", "-c", 'eval "$1"; printf "%s|%s" "$tag" "$nj"', "x", lines],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"{text}|2"
    assert not list(tmp_path.iterdir())


def test_help_lists_every_option_once_with_its_sentence():
    answer = run("--nj", "5", "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("Distil an ASR student from a teacher")
    flat = " ".join(answer.stdout.split())
    for option in OPTIONS.values():
        head = f"--{option.name} {option.kind.shown}"
        assert len(re.findall(rf"^  {re.escape(head)}( |$)", answer.stdout, re.M)) == 1
        assert flat.count(option.sentence) == 1
    assert "--nj N [5]" in flat
    assert "--train_jobs N [2]" in flat, "what run.sh sets is shown, not the default"


def test_sentences_are_sentences():
    assert sum(map(len, GROUPS.values())) == len(OPTIONS), "no name comes twice"
    for option in OPTIONS.values():
        assert re.fullmatch(r"[A-Z0-9].*[^.]\.", option.sentence), option.name
        assert len(option.sentence.split()) >= 4, option.name


def test_help_lists_the_stages_in_the_order_in_which_they_run():
    titles = run("-h").stdout.partition("Stages:\n")[2].partition("\n\n")[0].splitlines()
    numbers = [int(title.split()[0]) for title in titles]
    assert numbers == [1, 2, 2, 3, 4, 5, 6, 7, 10, 8, 8, 8, 9, 10, 11, *range(11, 17)]
    assert "  11 distilled student" in titles


def test_every_option_is_read_by_a_stage_and_every_stage_has_its_function():
    text = {path.name: path.read_text() for path in SCRIPTS}
    for name in OPTIONS:
        assert any(re.search(rf"\${{{name}\b", shell) for shell in text.values()), name
    calls = re.findall(r'^stage \d+ "[^"]+"(?: \\\n +| )(\w+)$', text["asr_kd.sh"], re.M)
    assert len(calls) == 21
    for function in calls:
        places = [n for n, shell in text.items() if f"\n{function}() {{" in shell]
        assert len(places) == 1, function


def test_they_are_read_without_the_environment(tmp_path):
    """By the standard library alone: what comes with pip is out of reach."""
    script = RECIPE / "pyscripts" / "read_options.py"
    answer = subprocess.run(
        [sys.executable, "-S", "-E", str(script), str(RECIPE / "asr_kd.sh"), "--nj", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert "--nj: must be a whole number of at least 1, got '0'" in answer.stderr


def test_scripts_stay_small():
    assert len(SCRIPTS) > 8
    for path in SCRIPTS:
        assert len(path.read_text().splitlines()) <= 100, path.name
