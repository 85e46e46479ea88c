"""What a teacher hears: the student's audio, or another stream of the same batch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import TeacherError, utterance_name
from espnet_kd.teachers.base import Question

# Frames, and samples, of an example that has to be made up.
FRAMES, SAMPLES = 200, 16000


class OwnStream:
    """Another input than the student's: clean speech, another microphone, other features.

    A stream is a name of ESPnet's ``--train_data_path_and_name_and_type``; its lengths
    are its own, and losses bridge the frame rates as they do for any teacher.

    Args:
        name: Of the stream in the batch.
        skips: Whether the teacher says nothing of utterances that lack the stream: those
            of no sample or frame.
        model: The teacher, which knows whether it takes audio.
        input_size: Width of the features of a teacher without front end; None if unknown.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        input_size: int | None = None,
        *,
        skips: bool = False,
    ) -> None:
        self.name = name
        self.skips = skips
        self.takes_audio = getattr(model, "frontend", None) is not None
        self.input_size = input_size

    def of(self, question: Question, teacher: str) -> Question:
        """The same question about this stream; what moves the student's features is left.

        Args:
            question: About the student's batch.
            teacher: What to call the teacher in messages.

        Raises:
            TeacherError: If the batch does not have the stream, or its utterances are
                not the student's.
        """
        batch = question.batch
        speech, lens = batch.get(self.name), batch.get(f"{self.name}_lengths")
        if not isinstance(speech, Tensor) or not isinstance(lens, Tensor):
            raise self._missing(batch, teacher)
        if len(speech) != len(batch["speech"]):
            raise TeacherError(
                f"teacher {teacher}: '{self.name}' has {len(speech)} utterances in a batch "
                f"of {len(batch['speech'])}; both streams have to come from one list of "
                "utterances"
            )
        empty = lens == 0
        if not bool(empty.any()):
            return self._about(question, speech, lens)
        if not self.skips:
            raise self._empty(lens, batch, teacher)
        return self._filled(question, speech, lens)

    def example(self, question: Question) -> Question:
        """The question about an example of this stream, made up if there is none."""
        if f"{self.name}_lengths" in question.batch:
            return question
        noise, lens = self.noise(question.batch["speech"])
        more = {self.name: noise, f"{self.name}_lengths": lens}
        return replace(question, batch={**question.batch, **more})

    def noise(self, speech: Tensor, *channels: int) -> tuple[Tensor, Tensor]:
        """Something that the teacher can hear in place of ``speech``, and its lengths."""
        width = self.input_size if self.input_size is not None else speech.shape[-1]
        shape = (SAMPLES, *channels) if self.takes_audio else (FRAMES, width)
        noise = torch.zeros(len(speech), *shape)
        noise.normal_(generator=torch.Generator().manual_seed(0))
        lens = torch.full((len(speech),), shape[0])
        return noise.to(speech), lens.to(speech.device)

    def _filled(self, question: Question, speech: Tensor, lens: Tensor) -> Question:
        """Let utterances without the stream hear another's, that a batch stays a batch.

        It is the one before, so that lengths go on to fall where they do; noise where no
        utterance of the batch has the stream.
        """
        here = lens > 0
        if not bool(here.any()):
            channels = speech.shape[2:] if self.takes_audio else ()
            noise, lens = self.noise(speech, *channels)
            return replace(self._about(question, noise, lens), warp=None)
        places = torch.arange(len(lens), device=lens.device)
        before = places.where(here, -1).cummax(0).values
        source = before.where(before >= 0, here.nonzero()[0, 0])
        heard = self._about(question, speech[source], lens[source])
        return replace(heard, rows=here.nonzero()[:, 0])

    def _about(self, question: Question, speech: Tensor, lens: Tensor) -> Question:
        batch = {**question.batch, "speech": speech, "speech_lengths": lens}
        is_features = not self.takes_audio and speech.dim() == 3
        return replace(question, batch=batch, is_features=is_features)

    def _empty(self, lens: Tensor, batch: Mapping[str, Any], teacher: str) -> TeacherError:
        empty = (lens == 0).nonzero()[:, 0].tolist()
        utt = utterance_name(empty[0], batch.get("utt_id"))
        return TeacherError(
            f"teacher {teacher}: the '{self.name}' that it hears is empty for {len(empty)} "
            f"of {len(lens)} utterances of a batch, first {utt}; 'when_missing: skip' "
            "leaves such utterances untaught"
        )

    def _missing(self, batch: Mapping[str, Any], teacher: str) -> TeacherError:
        there = ", ".join(n for n in batch if isinstance(batch.get(f"{n}_lengths"), Tensor))
        return TeacherError(
            f"teacher {teacher}: it hears '{self.name}', which the batch does not have (it "
            f"has {there}). Name it by --train_data_path_and_name_and_type "
            f"SCP,{self.name},sound and for the validation alike, and add "
            "--allow_variable_data_keys true"
        )
