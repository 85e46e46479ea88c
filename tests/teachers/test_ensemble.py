"""Several teachers as one: posteriors by hand, and trainings of mixed architectures."""

import pytest
import torch
import yaml
from conftest import TOKENS, build_asr, clone
from training import arguments

import espnet_kd
from espnet_kd.config.schema import ScheduleConfig
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.model.request import Labels, Request
from espnet_kd.model.training_part import TrainingPass
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.ensemble import Ensemble
from espnet_kd.teachers.live import LiveTeacher

TERMS = [{"type": "ctc_frame_kl", "weight": 0.3}, {"type": "token_kl", "weight": 0.7}]


class Says:
    """A teacher that says what it is told, of one utterance."""

    view = "clean"

    def __init__(self, ctc, decoder=None):
        self.model = build_asr(ctc_weight=0.3 if decoder is not None else 1.0)
        self.ctc, self.decoder = ctc, decoder

    def has(self, part):
        return getattr(self, part) is not None

    def __call__(self, question):
        request = question.request
        targets = TeacherTargets(torch.tensor([len(self.ctc)]))
        targets.ctc_logits = torch.tensor([self.ctc]).log() if "ctc" in request else None
        if "decoder" in request:
            targets.decoder_logits = torch.tensor([self.decoder]).log()
            targets.ys_in_lens = torch.tensor([len(self.decoder)])
        return targets


ONE = Says([[0.8, 0.2], [0.4, 0.6]], [[0.9, 0.1]])
TWO = Says([[0.2, 0.8], [0.4, 0.6]])
BOTH = Request(ctc=True, decoder=True)


def ctc(how, weights=(1.0, 1.0)):
    return Ensemble([ONE, TWO], weights, how)(Question({}, BOTH)).ctc_logits[0].softmax(-1)


def test_the_mean_of_probabilities_by_hand():
    torch.testing.assert_close(ctc("mean"), torch.tensor([[0.5, 0.5], [0.4, 0.6]]))
    torch.testing.assert_close(ctc("mean", (3.0, 1.0))[0], torch.tensor([0.65, 0.35]))


def test_the_mean_of_log_probabilities_by_hand():
    # sqrt(0.8 * 0.2) for both tokens; by 3 to 1, 0.8^0.75 0.2^0.25 to its mirror.
    torch.testing.assert_close(ctc("log_mean")[0], torch.tensor([0.5, 0.5]))
    odds = (0.8 / 0.2) ** 0.5
    expected = torch.tensor([odds / (1 + odds), 1 / (1 + odds)])
    torch.testing.assert_close(ctc("log_mean", (3.0, 1.0))[0], expected)


def test_by_confidence_by_hand():
    # Over the spikes: frame 1 of the first, 0.6; both of the second, sqrt(0.8 * 0.6).
    # The first has a decoder, whose confidence, 0.9, stands for it.
    first, second = 0.9, (0.8 * 0.6) ** 0.5
    share = first / (first + second)
    expected = torch.tensor([0.8 * share + 0.2 * (1 - share)])
    torch.testing.assert_close(ctc("confidence")[0, :1], expected)


def test_a_decoder_is_combined_of_those_that_have_one():
    said = Ensemble([TWO, ONE], (1.0, 1.0), "mean")(Question({}, BOTH))
    torch.testing.assert_close(said.decoder_logits.exp(), torch.tensor([[[0.9, 0.1]]]))
    assert said.ys_in_lens.tolist() == [1]


def test_another_frame_rate_is_brought_to_the_first_ones():
    fast = Says([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.9, 0.1]])
    said = Ensemble([ONE, fast], (1.0, 1.0), "mean")(Question({}, Request(ctc=True)))
    assert said.encoder_out_lens.tolist() == [2]
    # Of every two frames the spike: 0.2/0.8 and 0.4/0.6.
    expected = torch.tensor([[0.5, 0.5], [0.4, 0.6]])
    torch.testing.assert_close(said.ctc_logits[0].exp(), expected)


def test_one_is_drawn_for_a_batch_by_weight_and_epoch():
    ensemble = Ensemble([ONE, Says(ONE.ctc, ONE.decoder)], (3.0, 1.0), "draw")
    random = torch.random.get_rng_state()
    batches = [{"utt_id": [f"u{n}"]} for n in range(400)]
    drawn = [ensemble._drawn(batch) for batch in batches]
    assert drawn == [ensemble._drawn(batch) for batch in batches], "comes back"
    assert 60 < sum(drawn) < 140, "a quarter of 400"
    assert torch.equal(torch.random.get_rng_state(), random)
    torch.manual_seed(torch.initial_seed() + 1)
    assert drawn != [ensemble._drawn(batch) for batch in batches], "another epoch"


def test_equal_teachers_are_one(student, teacher, batch):
    values = []
    for guest in (
        teacher,
        Ensemble([LiveTeacher(teacher), LiveTeacher(teacher)], (1.0, 2.0)),
    ):
        espnet_kd.attach(student.eval(), {"losses": TERMS}, guest)
        loss, stats, _ = student(**clone(batch))
        values.append((loss, stats["kd_teacher_acc"]))
        espnet_kd.detach(student)
    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=1e-5)


def test_architectures_may_differ(student, batch):
    """A conformer hybrid, an RNN that is CTC only, an E-Branchformer hybrid."""
    rnn = {"rnn_type": "lstm", "num_layers": 1, "hidden_size": 8, "output_size": 8}
    guests = [
        build_asr(seed=3, encoder="rnn", encoder_conf=rnn, ctc_weight=1.0),
        build_asr(seed=4, width=12),
        build_asr(
            seed=5,
            encoder="e_branchformer",
            encoder_conf={
                "output_size": 8,
                "attention_heads": 2,
                "linear_units": 16,
                "num_blocks": 1,
                "cgmlp_linear_units": 16,
            },
        ),
    ]
    ensemble = Ensemble([LiveTeacher(g) for g in guests], (1.0, 1.0, 1.0))
    espnet_kd.attach(student, {"losses": TERMS}, ensemble)
    loss, stats, _ = student.train()(**clone(batch))
    loss.sum().backward()
    assert stats["loss_kd_ctc_frame_kl"].item() > 0
    assert stats["loss_kd_token_kl"].item() > 0


def test_a_part_that_none_has_is_refused(student, batch):
    blind = [LiveTeacher(build_asr(seed=n, ctc_weight=1.0)) for n in (1, 2)]
    ensemble = Ensemble(blind, (1.0, 1.0))
    with pytest.raises(ConfigError, match="none of the teachers has decoder posteriors"):
        espnet_kd.attach(student, {"losses": TERMS}, ensemble)


def test_each_token_list_that_differs_is_named(student):
    other = [t if t != "a" else "x" for t in TOKENS]
    guests = [build_asr(seed=1), build_asr(seed=2, tokens=other)]
    ensemble = Ensemble([LiveTeacher(g) for g in guests], (1.0, 1.0))
    with pytest.raises(ConfigError, match=r"teachers\[1\]: .*2: student 'a', teacher 'x'"):
        espnet_kd.attach(student, {"losses": TERMS}, ensemble)


def test_the_ensemble_asks_like_a_teacher(teacher, batch):
    prefix = torch.full((3, 2), 10)
    labels = Labels(prefix, torch.full((3,), 2))
    request = Request(ctc=True, decoder=True, taps=("encoder",))
    alone = LiveTeacher(teacher)(Question(batch, request, labels))
    said = Ensemble([LiveTeacher(teacher)] * 2, (1.0, 1.0))(
        Question(batch, request, labels)
    )
    torch.testing.assert_close(said.ctc_logits, alone.ctc_logits.log_softmax(-1))
    assert torch.equal(said.hidden["encoder"].values, alone.hidden["encoder"].values)


def test_a_training_with_two_teachers(features, tmp_path):
    from espnet_kd.tasks.variants import KDASRTask

    for seed in (1, 2):
        out = tmp_path / f"t{seed}"
        KDASRTask.main(cmd=arguments(features, out, role="teacher", seed=seed, max_epoch=1))
    teachers = [{"exp": str(tmp_path / f"t{seed}"), "weight": seed} for seed in (1, 2)]
    conf = {"teachers": teachers, "combine": "confidence", "losses": TERMS}
    (tmp_path / "kd.yaml").write_text(yaml.safe_dump(conf))
    command = arguments(features, tmp_path / "student")
    KDASRTask.main(cmd=[*command, "--kd_conf", str(tmp_path / "kd.yaml")])
    state = torch.load(tmp_path / "student" / "checkpoint.pth", weights_only=False)
    assert state["reporter"]["stats"][2]["train"]["loss_kd_token_kl"] > 0


def hidden(tap="encoder.encoders.0", **more):
    return {
        "type": "hidden_mse",
        "weight": 0.5,
        "student": "encoder.encoders.1",
        "teacher": tap,
    } | more


LAYERS = [
    hidden(name="first"),
    hidden("other:encoder.encoders.2", name="second"),
    hidden(["other:encoder.encoders.0", "other:encoder.encoders.2"], name="mean"),
    {"type": "hidden_mse", "weight": 0.5, "layers": "other:uniform", "name": "all"},
]


def two(**weights):
    """A narrow teacher of two layers, and a wide one of four that has a name."""
    guests = [build_asr(seed=3, width=12), build_asr(seed=4, width=16, blocks=4)]
    guests = [LiveTeacher(g) for g in guests]
    return guests, Ensemble(guests, weights.get("shares", (1.0, 1.0)), names=("", "other"))


def example_of(batch):
    return {key: batch[key] for key in ("speech", "speech_lengths")}


def test_each_term_reads_the_layers_of_the_teacher_that_it_names(student, batch):
    guests, both = two()
    taps = ("encoder.encoders.0", "other:encoder.encoders.2")
    found = both(Question(batch, Request(ctc=True, taps=taps)))
    for guest, tap in zip(guests, taps, strict=True):
        own = tap.removeprefix("other:")
        wanted = guest(Question(batch, Request(taps=(own,)))).hidden[own]
        assert torch.equal(found.hidden[tap].values, wanted.values)


def test_terms_of_two_teachers_have_projections_of_their_own(student, batch):
    _, both = two()
    conf = {"losses": [*TERMS, *LAYERS]}
    attached = espnet_kd.attach(student, conf, both, example=example_of(batch))
    learned = attached.objective.projections()
    widths = {
        name: [p.out_features for p in part.projections.values()]
        for name, part in learned.items()
    }
    assert widths == {"first": [12], "second": [16], "mean": [16], "all": [16, 16]}
    loss, stats, _ = student.train()(**clone(batch))
    loss.sum().backward()
    for term in LAYERS:
        assert stats[f"loss_kd_{term['name']}"] > 0
        grads = [p.grad for p in learned[term["name"]].parameters()]
        assert all(grad.abs().sum() > 0 for grad in grads)


def test_the_log_tells_names_shares_and_which_layers_were_paired(student, batch, caplog):
    _, both = two()
    with caplog.at_level("INFO"):
        espnet_kd.attach(student, {"losses": LAYERS}, both, example=example_of(batch))
    assert "view: clean as 'other', share 0.50" in caplog.text
    assert "with the teacher's: 0 with other:0, 1 with other:3" in caplog.text


def test_a_teacher_of_layers_alone_may_have_other_tokens(student, batch):
    other = ["<blank>", "<unk>", "x", "y", "<sos/eos>"]
    first = LiveTeacher(build_asr(seed=3, width=12))
    guests = [first, LiveTeacher(build_asr(seed=4, width=16, blocks=4, tokens=other))]
    both = Ensemble(guests, (1.0, 0.0), names=("", "other"))
    espnet_kd.attach(
        student, {"losses": [*TERMS, LAYERS[1]]}, both, example=example_of(batch)
    )
    _, stats, _ = student.eval()(**clone(batch))
    espnet_kd.detach(student)
    espnet_kd.attach(student, {"losses": TERMS}, first)
    _, alone, _ = student.eval()(**clone(batch))
    for name in ("loss_kd_ctc_frame_kl", "loss_kd_token_kl"):
        torch.testing.assert_close(stats[name], alone[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("term", "how", "shares", "text"),
    [
        (hidden("big:encoder"), "mean", (1, 1), "no teacher has the 'name: big'; did"),
        (hidden("other:encoder"), "draw", (1, 1), "'other:encoder' is of one teacher"),
        (hidden(), "draw", (1, 0), "'weight: 0' is of one teacher's layers"),
        (hidden(), "mean", (1, 0), "'other' has 'weight: 0' and is asked for nothing"),
        (hidden("other:encoder.x"), "mean", (1, 1), "no module 'encoder.x'"),
    ],
)
def test_layers_that_nobody_gives_are_refused(student, batch, term, how, shares, text):
    guests, _ = two()
    both = Ensemble(guests, shares, how, names=("bit", "other"))
    conf = {"losses": [hidden(name="first"), term]}
    with pytest.raises(ConfigError, match=text):
        espnet_kd.attach(student, conf, both, example=example_of(batch))


def test_one_teacher_alone_has_no_name_in_front(student, teacher, batch):
    for loss in (hidden("big:encoder"), {**LAYERS[3], "layers": "big:uniform"}):
        with pytest.raises(KDError, match="is of a teacher named 'big', and there are not"):
            espnet_kd.attach(student, {"losses": [loss]}, teacher)


def test_unnamed_depth_is_said(student):
    """A teacher that is no conformer and no transformer has no layers to pair."""
    rnn = {"rnn_type": "lstm", "num_layers": 1, "hidden_size": 8, "output_size": 8}
    guest = build_asr(seed=3, encoder="rnn", encoder_conf=rnn, ctc_weight=1.0)
    with pytest.raises(KDError, match=r"the teacher has none that are known"):
        espnet_kd.attach(student, {"losses": [{**LAYERS[3], "layers": "uniform"}]}, guest)


FADES = ScheduleConfig(decay="linear", decay_steps=4)
RISES = ScheduleConfig(warmup_steps=4)


def at(ensemble, step, learns=True):
    ensemble.before_pass(TrainingPass(torch.nn.Linear(1, 1), {}, step, learns))
    return ensemble.shares.tolist()


def test_shares_develop_by_schedules_and_add_up_to_one():
    both = Ensemble([ONE, TWO], (2.0, 1.0), names=("", "own"), schedules=(FADES, RISES))
    # Of 2 the parts 3/4, 2/4, 1/4, 0; of 1 the parts 1/4, 2/4, 3/4, 1.
    wanted = [(1.5, 0.25), (1.0, 0.5), (0.5, 0.75), (0.0, 1.0), (0.0, 1.0)]
    for step, (one, two) in enumerate(wanted):
        assert at(both, step) == pytest.approx([one / (one + two), two / (one + two)])
    assert at(both, 0, learns=False) == [0, 1], "a validation counts as at the end"
    at(both, 1)
    assert both.stats() == pytest.approx({"kd_share_0": 2 / 3, "kd_share_own": 1 / 3})


def test_the_mixture_is_of_the_shares_in_force():
    both = Ensemble([ONE, TWO], (1.0, 1.0), schedules=(FADES, RISES))
    at(both, 0)
    said = both(Question({}, Request(ctc=True))).ctc_logits[0].exp()
    torch.testing.assert_close(said[0], torch.tensor([0.8 * 0.75 + 0.2 * 0.25, 0.35]))
    at(both, 9)
    said = both(Question({}, Request(ctc=True))).ctc_logits[0].exp()
    torch.testing.assert_close(said[0], torch.tensor([0.2, 0.8]))


def test_a_teacher_without_a_share_is_not_asked(monkeypatch):
    asked = []
    say = Says.__call__
    monkeypatch.setattr(Says, "__call__", lambda t, q: asked.append(t) or say(t, q))
    both = Ensemble([ONE, TWO], (1.0, 1.0), schedules=(FADES, ScheduleConfig()))
    for step in (0, 9):
        at(both, step)
        both(Question({}, Request(ctc=True)))
    assert asked == [ONE, TWO, TWO]


def test_a_draw_follows_the_shares():
    both = Ensemble([ONE, TWO], (1.0, 1.0), "draw", schedules=(FADES, RISES))
    at(both, 9)
    assert {both._drawn({"utt_id": [f"u{n}"]}) for n in range(20)} == {1}


def test_shares_that_stay_are_no_part_of_a_training():
    assert Ensemble([LiveTeacher(ONE.model)] * 2, (1.0, 1.0)).training_parts() == []


def test_a_part_that_nobody_keeps_is_refused(student):
    """CTC is given by both; the decoder by the one whose share falls to 0 alone."""
    guests = [
        LiveTeacher(build_asr(seed=1)),
        LiveTeacher(build_asr(seed=2, ctc_weight=1.0)),
    ]
    both = Ensemble(guests, (1.0, 1.0), schedules=(FADES, ScheduleConfig()))
    espnet_kd.attach(student, {"losses": TERMS[:1]}, both)
    espnet_kd.detach(student)
    said = "every teacher with decoder posteriors falls to 0 by its 'schedule'"
    with pytest.raises(ConfigError, match=said):
        espnet_kd.attach(student, {"losses": TERMS}, both)


def test_the_log_tells_shares_that_move(student, batch, caplog):
    guests, _ = two()
    both = Ensemble(guests, (1.0, 1.0), names=("", "other"), schedules=(FADES, RISES))
    with caplog.at_level("INFO"):
        espnet_kd.attach(student, {"losses": TERMS[:1]}, both)
    for told in ("which falls to 0 over 4 (linear)", "which rises over 4 updates"):
        assert f"share 0.50, of its own weight, {told}" in caplog.text
    _, stats, _ = student.train()(**clone(batch))
    assert stats["kd_share_0"].item() == pytest.approx(0.75)
    assert stats["kd_share_other"].item() == pytest.approx(0.25)


def test_a_teacher_that_nobody_asks_for_anything_is_named(student, batch):
    """Of a CTC only teacher no decoder is read, and what has no name is not tapped."""
    guests = [
        LiveTeacher(build_asr(seed=1)),
        LiveTeacher(build_asr(seed=2, ctc_weight=1.0)),
    ]
    said = "teacher number 2 is asked for nothing: .*; give it a 'name' to tap or remove it"
    with pytest.raises(ConfigError, match=said):
        espnet_kd.attach(student, {"losses": TERMS[1:]}, Ensemble(guests, (1.0, 1.0)))
