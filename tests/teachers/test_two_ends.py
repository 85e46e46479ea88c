"""Start and end of a sentence of two indices, as Whisper's configurations have them."""

import pytest
import torch
from conftest import LETTERS, asr_options, build_asr, clone, write_exp, write_features

import espnet_kd
from espnet_kd.bin import cache_teacher, merge_cache
from espnet_kd.cache.entries import batch_of
from espnet_kd.cache.reader import Cache
from espnet_kd.losses import token_nbest
from espnet_kd.model.forward import run_guest
from espnet_kd.model.outputs import NBest
from espnet_kd.model.request import Request
from espnet_kd.teachers.guest import freeze
from espnet_kd.teachers.search import find_nbest

TWO_ENDS = ["<blank>", "<unk>", *LETTERS, "<sos>", "<eos>"]
SOS, EOS = 10, 11
OPTIONS = {
    "tokens": TWO_ENDS,
    "model_conf": {"ctc_weight": 0.3, "sym_sos": "<sos>", "sym_eos": "<eos>"},
}
TERMS = [{"type": "token_kl", "weight": 1.0, "temperature": 2.0}]


@pytest.fixture
def pair():
    """A student and its teacher."""
    models = [build_asr(seed=seed, width=8, **OPTIONS) for seed in (1, 2)]
    assert (models[0].sos, models[0].eos) == (SOS, EOS), "the premise"
    return models


def test_a_hypothesis_is_forced_from_the_start_to_the_end():
    """One hypothesis of two labels; the decoder is sure of everything."""
    seen = {}

    def decode(ys_in, lens, rows):
        seen["prefix"] = ys_in.tolist()
        logits = torch.full((1, 3, 12), -100.0)
        for place, label in enumerate((4, 2, EOS)):
            logits[0, place, label] = 100.0
        return logits

    nbest = NBest.of([[([4, 2], 0.0)]])
    value = token_nbest(decode, nbest, eos_id=EOS, sos_id=SOS)
    assert seen["prefix"] == [[SOS, 4, 2]]
    assert value.item() == 0.0


def test_a_searched_hypothesis_holds_neither(pair, batch):
    teacher = freeze(pair[1])
    outputs = run_guest(teacher, batch, Request(ctc=True))
    found = find_nbest(teacher, outputs, 2)
    for row, lengths in zip(found.tokens, found.lengths, strict=True):
        for tokens, length in zip(row.tolist(), lengths.tolist(), strict=True):
            assert not {SOS, EOS} & set(tokens[: max(length, 0)])


def test_a_cache_is_written_from_the_start_as_the_live_teacher_is_forced(pair, tmp_path):
    student, teacher = pair
    settings = asr_options(width=8, **OPTIONS)
    exp = write_exp(tmp_path / "teacher", teacher, settings)
    data = write_features(tmp_path, {"a": 50, "b": 40})
    (tmp_path / "text").write_text("a abcd\nb ba\n")
    command = ["--exp", str(exp), "--parts", "decoder", "--tolerance", "0"]
    command += ["--data_path_and_name_and_type", data, "--dtype", "float32"]
    command += ["--data_path_and_name_and_type", f"{tmp_path}/text,text,text"]
    command += ["--key_file", str(tmp_path / "text"), "--output_dir", str(tmp_path / "c")]
    cache_teacher.main([*command, "--batch_size", "2"])
    merge = ["--cache", str(tmp_path / "c"), "--key_file", str(tmp_path / "text")]
    merge_cache.main(merge)
    batch, written = audio(tmp_path), batch_of(Cache([tmp_path / "c"]).read("ab"))
    values = []
    for conf, guest, more in (
        ({}, teacher, {}),
        ({"targets": str(tmp_path / "c")}, None, written),
    ):
        espnet_kd.attach(student.eval(), {"losses": TERMS} | conf, guest)
        stats = student(**clone(batch | more))[1]
        values.append((stats["loss_kd_token_kl"], stats["kd_teacher_acc"]))
        espnet_kd.detach(student)
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-5)


def audio(folder):
    """The two utterances as a batch of training."""
    import kaldiio

    feats = [torch.tensor(kaldiio.load_scp(f"{folder}/f.scp")[u]) for u in "ab"]
    return {
        "speech": torch.nn.utils.rnn.pad_sequence(feats, batch_first=True),
        "speech_lengths": torch.tensor([50, 40]),
        "text": torch.tensor([[2, 3, 4, 5], [3, 2, -1, -1]]),
        "text_lengths": torch.tensor([4, 2]),
        "utt_id": ["a", "b"],
    }
