"""When a transcript was spoken, by the forced CTC alignment of a model that hears it whole.

That model is the teacher, or the streaming model itself with its blocks or chunks made
endless.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.alignment.ctc_forced import forced_alignment
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.errors import AlignmentError, KDError
from espnet_kd.model.context import full_context
from espnet_kd.model.outputs import given
from espnet_kd.model.request import Request
from espnet_kd.streaming.emission import Spoken
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher
from espnet_kd.teachers.live import LiveTeacher

CTC = Request(ctc=True)
# Input frames of two utterances, by whose frames an encoder's rate is measured. Their
# difference is a multiple of every usual subsampling.
SHORTER, LONGER = 240, 480


class Reference:
    """A model by whose CTC transcripts are laid along their audio.

    Args:
        teacher: The model as a guest.
        rate: Values a second of the input, samples or feature frames.
        hop: Values from one frame of features to the next.
        is_whole: Whether it is first made to hear utterances whole.
    """

    def __init__(
        self, teacher: LiveTeacher, rate: float, hop: int, *, is_whole: bool = False
    ) -> None:
        self.teacher = teacher
        self.rate = rate
        self.hop = hop
        self.is_whole = is_whole
        self.frame_ms = 0.0

    def __call__(self, utt: str, speech: Tensor, labels: Sequence[int]) -> Spoken | None:
        """Say when an utterance's tokens were spoken.

        Args:
            utt: What to call it.
            speech: Its audio or features, (1, N) or (1, T, D).
            labels: Its transcript.

        Returns:
            None if there is no transcript, or one that takes more frames than there are.

        Raises:
            KDError: If the model cannot take it.
        """
        if not labels:
            return None
        logits, lengths, blank_id = self._hear(utt, speech)
        self.frame_ms = self.frame_ms or self._frame_ms(speech)
        text = (torch.tensor([labels]), torch.tensor([len(labels)]))
        first, last = forced_alignment(logits.log_softmax(-1), lengths, *text, blank_id)
        if int(first[0, 0]) < 0:
            return None
        begun = [self._end_of(frame) for frame in first[0].tolist()]
        return Spoken(labels, begun, self._end_of(int(last[0, -1])))

    def _end_of(self, frame: int) -> float:
        return (frame + 1) * self.frame_ms

    def _hear(self, utt: str, speech: Tensor) -> tuple[Tensor, Tensor, int]:
        lengths = torch.tensor([speech.shape[1]])
        batch = {"speech": speech, "speech_lengths": lengths, "utt_id": [utt]}
        with self._heard_whole():
            targets = self.teacher(Question(batch, CTC, is_features=speech.dim() == 3))
        logits = given(targets.ctc_logits, "ctc_logits")
        return logits, targets.encoder_out_lens, targets.blank_id

    def _heard_whole(self) -> AbstractContextManager[None]:
        if not self.is_whole:
            return nullcontext()
        encoder: Any = self.teacher.model.encoder
        return full_context(encoder)

    def _frame_ms(self, like: Tensor) -> float:
        """Milliseconds of an encoder frame: heard, for every encoder's config differs."""
        shorter, longer = (self._frames(like, n * self.hop) for n in (SHORTER, LONGER))
        values = (LONGER - SHORTER) * self.hop / (longer - shorter)
        return 1000.0 * values / self.rate

    def _frames(self, like: Tensor, length: int) -> int:
        return int(self._hear("silence", torch.zeros(1, length, *like.shape[2:]))[1][0])


def open_reference(
    exp: str | None, model: nn.Module, name: str, task: type, rate: float, hop: int
) -> Reference:
    """Open the model by which transcripts are aligned.

    Args:
        exp: The experiment of a model that hears utterances whole; None takes ``model``.
        model: The streaming model.
        name: What to call that.
        task: ESPnet task class of the model by which they are aligned.
        rate: Values a second of the input.
        hop: Values from one frame of features to the next.

    Raises:
        KDError: If it has no CTC, or other tokens.
    """
    if exp is None:
        teacher = LiveTeacher(model, name=name)
    else:
        teacher = load_teacher(TeacherConfig(exp), task)
    if not teacher.has("ctc"):
        raise KDError(
            f"{exp or name} has no CTC to align transcripts by; name a model that has by "
            "--reference_exp"
        )
    try:
        teacher.match_vocabulary(model, ["ctc"])
    except AlignmentError:
        raise KDError(
            f"{exp} and {name} have different tokens, so that no token of the one has a "
            "time by the other; name a model with the same tokens by --reference_exp"
        ) from None
    return Reference(teacher, rate, hop, is_whole=exp is None)
