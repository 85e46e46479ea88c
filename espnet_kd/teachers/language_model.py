"""A language model as teacher: what the text makes expect, for the attention decoder."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.forward import Labels, Request, fork_rng
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.teachers.live import Teacher


class LanguageModelTeacher(Teacher):
    r"""An ESPnet language model, read along the student's transcripts.

    Its decoder posteriors are :math:`p(y_u \mid y_{<u})`, for ``token_kl`` and the other
    losses on the attention decoder. It hears nothing: neither CTC nor hidden frames.

    Args:
        model: A trained ``ESPnetLanguageModel``; it is frozen in place.
        token_list: Its tokens.
        name: What to call it in messages.

    Source: Bai et al. Learn Spelling from Teachers. 2019, section 3.
    https://arxiv.org/abs/1907.06017
    """

    def __init__(
        self, model: nn.Module, token_list: Sequence[str], *, name: str = ""
    ) -> None:
        super().__init__(model, name=name)
        self.token_list = token_list

    def __call__(
        self,
        batch: Mapping[str, Tensor],
        request: Request,
        *,
        labels: Labels | None = None,
        feats: tuple[Tensor, Tensor] | None = None,
    ) -> TeacherTargets:
        """Decoder posteriors for a batch; no frames."""
        self._follow(batch["speech"])
        said = labels if self._tokens is None else self._tokens.to_teacher(labels)
        with torch.no_grad(), fork_rng(batch["speech"].device):
            logits, _ = self.model.lm(said.ys_in_pad, None)
        targets = TeacherTargets(
            torch.zeros_like(labels.ys_in_lens),
            decoder_logits=logits,
            ys_in_pad=said.ys_in_pad,
            ys_in_lens=labels.ys_in_lens,
            eos_id=int(self.model.eos),
        )
        self._check_finite(targets, batch.get("utt_id"))
        return targets if self._tokens is None else self._tokens.to_student(targets)

    def has(self, part: str) -> bool:
        """Whether it gives ``ctc`` or ``decoder`` posteriors."""
        return part == "decoder"

    def check(self, request: Request) -> None:
        """Require nothing that has to be heard.

        Raises:
            KDError: If the losses want more than decoder posteriors.
        """
        if request != Request(decoder=request.decoder):
            raise KDError(
                f"the language model {self.name} gives decoder posteriors alone; keep to "
                "token_kl and its kin, or name an acoustic teacher beside it"
            )
