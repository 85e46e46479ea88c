"""A language model as teacher: what the text makes expect, for the attention decoder."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.forward import fork_rng
from espnet_kd.model.outputs import ModelOutputs
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.live import LiveTeacher
from espnet_kd.teachers.vocabulary import Vocabulary

# Parts that follow from a prefix alone.
PREFIXED = {"decoder", "hypothesis"}


class LanguageModelTeacher(LiveTeacher):
    r"""An ESPnet language model, read along the student's transcripts.

    Its decoder posteriors are :math:`p(y_u \mid y_{<u})`, for ``token_kl`` and the other
    losses on the attention decoder. It hears nothing: neither CTC nor hidden frames.

    Args:
        model: A trained ``ESPnetLanguageModel``; it is frozen in place.
        token_list: Its tokens.
        name: What to call it in messages.
        origin: Which of its files it was loaded from, for the log.

    Source: Bai et al. Learn Spelling from Teachers. 2019, section 3.
    https://arxiv.org/abs/1907.06017
    """

    def __init__(
        self,
        model: nn.Module,
        token_list: Sequence[str],
        *,
        name: str = "",
        origin: str = "",
    ) -> None:
        super().__init__(model, name=name, origin=origin)
        self.family = None  # it is asked along the prefixes, not by its own forward pass
        self.vocabulary = Vocabulary(tuple(token_list), tuple(token_list))

    def _run(self, question: Question) -> ModelOutputs:
        """Read the prefixes of the student's decoder; there are no frames."""
        read = self._tokens.to_teacher(question.labels)
        model: Any = self.model
        outputs = ModelOutputs(
            torch.zeros_like(question.batch["speech_lengths"]),
            ys_in_pad=read.ys_in_pad,
            ys_in_lens=read.ys_in_lens,
            hyp_in_pad=read.hyp_in_pad,
            hyp_in_lens=read.hyp_in_lens,
            sos_id=int(model.sos),
            eos_id=int(model.eos),
        )
        if "decoder" in question.request:
            outputs.decoder_logits = self._read(question, read.ys_in_pad)
        if "hypothesis" in question.request:
            outputs.hyp_logits = self._read(question, read.hyp_in_pad)
        return outputs

    def _read(self, question: Question, prefixes: Tensor | None) -> Tensor:
        """What is to be expected behind each word of the prefixes."""
        if prefixes is None:
            raise KDError(
                f"the language model {self.name} reads the prefixes of the student's "
                "attention decoder, and there are none; keep to token_kl and its kin"
            )
        model: Any = self.model
        with torch.no_grad(), fork_rng(question.batch["speech"].device):
            logits: Tensor
            logits, _ = model.lm(prefixes, None)
        return logits

    def has(self, part: str) -> bool:
        """Whether it gives a part: decoder posteriors and nothing else."""
        return part in PREFIXED

    def check(self, request: Request) -> None:
        """Require nothing that has to be heard.

        Raises:
            KDError: If the losses want more than decoder posteriors.
        """
        if set(request) - PREFIXED:
            raise KDError(
                f"the language model {self.name} gives decoder posteriors alone; keep to "
                "token_kl and its kin, or name an acoustic teacher beside it"
            )
