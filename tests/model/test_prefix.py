"""What a decoder is forced along, and what of it nothing was trained to predict."""

from types import SimpleNamespace

import pytest
import torch
from kinds import OWSM, batch_of, build

import espnet_kd
from espnet_kd.errors import ConfigError
from espnet_kd.losses import token_kl
from espnet_kd.model.prefix import behind_prompt, prompt_lens

SOS, SOP = 7, 9


def test_a_prompt_ends_where_the_sentence_starts():
    model = SimpleNamespace(sos=SOS, sop=SOP)
    # What was before, of two tokens; nothing before; of one token.
    ys_in = torch.tensor([[SOP, 3, 4, SOS, 5], [SOS, 5, 6, 0, 0], [SOP, 3, SOS, 5, 0]])
    assert prompt_lens(model, ys_in).tolist() == [3, 0, 2]
    assert prompt_lens(SimpleNamespace(sos=SOS), ys_in) is None


def test_rows_behind_a_prompt():
    values = torch.arange(10).view(2, 5, 1)
    found = behind_prompt(values, torch.tensor([3, 0]))[..., 0].tolist()
    assert found[0][:2] == [3, 4]  # what follows is padding
    assert found[1] == [5, 6, 7, 8, 9]
    assert behind_prompt(values, None) is values


def test_owsm_is_compared_behind_its_prompt_and_aligned_by_its_own_transcript():
    student, teacher = build("s2t", 8).eval(), build("s2t", 12).eval()
    terms = [{"type": kind, "weight": 1.0} for kind in ("token_kl", "ctc_token_kl")]
    espnet_kd.attach(student, {"losses": terms}, teacher)
    said = []
    for model in (student, teacher):
        model.decoder.register_forward_hook(lambda _, *call: said.append(call))
    _, stats, _ = student(**batch_of("s2t"))
    (args, own), (_, other) = said
    # In front of the text stand <sop>, two tokens; nothing; <sop>, one token.
    ys_in, lens = args[2:4]
    assert ys_in[0, 0] == OWSM.index("<sop>")
    starts, expected = [3, 0, 2], 0.0
    for row, start in enumerate(starts):
        assert ys_in[row, start] == OWSM.index("<sos>")
        real = slice(start, int(lens[row]))
        pair = (z[0][row : row + 1, real] for z in (own, other))
        expected += token_kl(*pair, torch.tensor([int(lens[row]) - start])).item() / 3
    assert stats["loss_kd_token_kl"].item() == pytest.approx(expected, rel=1e-5)
    assert stats["loss_kd_ctc_token_kl"].item() > 0


def test_the_best_path_of_owsms_ctc_holds_no_prompt():
    terms = [{"type": "token_kl", "weight": 1.0, "prefix": "student"}]
    with pytest.raises(ConfigError, match=r"decoder with a prompt .* transcript"):
        espnet_kd.attach(build("s2t", 8), {"losses": terms}, build("s2t", 12))
