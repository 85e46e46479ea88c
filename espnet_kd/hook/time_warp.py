"""One time warp for student and teacher: frames that are compared must be of one moment."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from espnet_kd.errors import TeacherError
from espnet_kd.model.forward import fork_rng
from espnet_kd.model.training_part import TrainingPart, TrainingPass


class OnTimeWarp(TrainingPart):
    """A part with a hook on the student's time warp for as long as a pass runs."""

    _handle: RemovableHandle | None = None

    def after_pass(self) -> None:
        """Leave the model's time warp alone again."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = None

    def remove(self) -> None:
        """As after any pass."""
        self.after_pass()


class SharedWarp(OnTimeWarp):
    """Warps a teacher's clean features as SpecAugment warped the student's.

    SpecAugment's warp moves every frame by up to its window. A teacher that gets the
    batch unwarped says of frame t what the student has at another place: with ESPnet's
    window of 5 that is several nats an utterance. So the random state in front of the
    student's warp is kept, and the teacher's features go through the same warp. Masks are
    not repeated: the teacher still gets clean features.

    Args:
        model: The student, with a time warp.
    """

    def __init__(self, model: nn.Module) -> None:
        warp = time_warp_of(model)
        assert warp is not None, "a warp is shared where there is one"
        self.warp = warp
        self._random: Tensor | None = None
        self._lens: Tensor | None = None
        self._doubled = False

    def describe(self) -> list[str]:
        """What the teacher gets."""
        return ["SpecAugment's time warp is repeated for the teacher's clean features"]

    def before_pass(self, training_pass: TrainingPass) -> None:
        """Keep the random state that the student's warp is about to draw from."""
        if not training_pass.learns:
            return
        self._random = None
        self._handle = self.warp.register_forward_pre_hook(self._keep)
        self._doubled = training_pass.doubled
        training_pass.warp = self.repeat

    def repeat(
        self, feats: Tensor, feats_lens: Tensor, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Warp other features of the same batch as the student's were.

        Args:
            feats: (B, T, D).
            feats_lens: Frames of each utterance, (B,), the same as the student's.
            rows: Which of them are truly of the batch's utterances; the others stay as
                they are. None for all.

        Raises:
            TeacherError: If there are other numbers of frames.
        """
        if self._random is None or self._lens is None:
            return feats, feats_lens
        kept = slice(None) if rows is None else rows.cpu()
        if not torch.equal(feats_lens.cpu()[kept], self._lens[kept]):
            raise TeacherError(
                "SpecAugment's time warp moves the student's frames, and the teacher's "
                "features have another number of them, so that they cannot be moved alike. "
                "Set specaug_conf.apply_time_warp to false, or give both models one hop "
                "length"
            )
        if rows is None:
            return self._warped(feats.clone(), feats_lens), feats_lens
        # Each warp is drawn in its turn and by its length: the others are drawn as well.
        whole = self._lens.to(feats_lens)
        width = max(int(whole.max()), feats.shape[1])
        blank = feats.new_zeros(len(whole), width, feats.shape[2])
        blank[rows, : feats.shape[1]] = feats[rows]
        warped = feats.clone()
        warped[rows] = self._warped(blank, whole)[rows, : feats.shape[1]]
        return warped, feats_lens

    def _warped(self, feats: Tensor, feats_lens: Tensor) -> Tensor:
        """The whole batch; of two views both have the first one's warp."""
        assert self._random is not None, "it is kept where the student's was warped"
        half = len(feats) // 2 if self._doubled else len(feats)
        with fork_rng(torch.device("cpu")):
            torch.random.set_rng_state(self._random)
            warped: Tensor
            warped, _ = self.warp(feats[:half], feats_lens[:half])
        return torch.cat([warped, warped]) if self._doubled else warped

    def _keep(self, _warp: nn.Module, args: Any) -> None:
        self._random = torch.random.get_rng_state()
        feats, *lens = args
        known = bool(lens) and lens[0] is not None
        whole = torch.full((len(feats),), feats.shape[1])
        self._lens = (lens[0] if known else whole).detach().cpu()


def time_warp_of(model: nn.Module) -> nn.Module | None:
    """The time warp of a model's SpecAugment, or None."""
    warp = getattr(getattr(model, "specaug", None), "time_warp", None)
    return warp if isinstance(warp, nn.Module) else None
