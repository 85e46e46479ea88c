"""The teacher: a guest. Frozen, always evaluating, outside the student, on its own RNG."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError, TeacherError, utterance_name
from espnet_kd.masking import length_mask
from espnet_kd.model.forward import Labels, Request, fork_rng, run_guest
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.parts import view_of
from espnet_kd.model.taps import find_module, parse_tap
from espnet_kd.teachers.search import can_search, find_nbest
from espnet_kd.teachers.vocabulary import TokenMap, match_vocabulary


class Teacher:
    """A frozen model that answers for a batch. Deliberately not an ``nn.Module``.

    Held by a student's attachment as a plain object, it is in no ``state_dict``,
    average, optimizer, DDP bucket or parameter count.

    Args:
        model: A trained ESPnet model; it is frozen and silenced in place.
        view: ``clean``: it hears the batch as it came in. ``same``: it gets the
            student's features after SpecAugment, normalised by its own statistics.
        name: What to call it in messages.
    """

    def __init__(self, model: nn.Module, *, view: str = "clean", name: str = "") -> None:
        self.model = freeze(model)
        self.view = view
        self.name = name or type(model).__name__
        self.token_list: Sequence[str] = getattr(model, "token_list", ())
        self._tokens: TokenMap | None = None
        self._front_ends_agree: bool | None = None

    def __call__(
        self,
        batch: Mapping[str, Tensor],
        request: Request,
        *,
        labels: Labels | None = None,
        feats: tuple[Tensor, Tensor] | None = None,
    ) -> TeacherTargets:
        """Targets for a batch.

        Args:
            batch: ``speech`` and ``speech_lengths`` as they came in, and ``utt_id``
                for messages.
            request: What the losses need.
            labels: What the student's decoder was given.
            feats: The student's augmented features and lengths, for ``view: same``.

        Raises:
            TeacherError: If the targets hold nan or inf at real positions.
        """
        self._follow(batch["speech"])
        inputs = {key: batch[key] for key in ("speech", "speech_lengths")}
        front_end = nullcontext()
        if self.view == "same" and feats is not None:
            inputs = dict(zip(inputs, feats, strict=True))
            front_end = _without_front_end(self.model)
        if self._tokens is not None and labels is not None:
            labels = self._tokens.to_teacher(labels)
        try:
            with front_end:
                outputs = run_guest(self.model, inputs, request, labels)
        except Exception as error:
            # By name: this floor does not know ESPnet, where the class lives.
            if type(error).__name__ != "TooShortUttError":
                raise
            raise self._too_short(error, batch) from None
        self._check_finite(outputs, batch.get("utt_id"))
        if request.nbest:
            with torch.no_grad(), fork_rng(batch["speech"].device):
                outputs.nbest = find_nbest(self.model, outputs, request.nbest)
        targets = TeacherTargets(**vars(outputs))
        return targets if self._tokens is None else self._tokens.to_student(targets)

    def has(self, part: str) -> bool:
        """Whether it gives ``ctc`` or ``decoder`` posteriors."""
        view = view_of(self.model)
        return {"ctc": view.ctc_lo, "decoder": view.decoder}[part] is not None

    def trial(
        self, batch: Mapping[str, Tensor], request: Request, labels: Labels | None
    ) -> TeacherTargets:
        """Targets of an example, for losses to be built."""
        return self(batch, request, labels=labels)

    def check(self, request: Request) -> None:
        """Require the parts that the losses read; see ``check_needs``."""
        check_needs(self.model, request, "teacher")

    def match_vocabulary(self, student: nn.Module) -> None:
        """Speak in the student's tokens from now on; see ``match_vocabulary``.

        Raises:
            AlignmentError: If they are others.
        """
        tokens = getattr(student, "token_list", ())
        self._tokens = match_vocabulary(tokens, self.token_list)

    def check_front_end(self, student: nn.Module, batch: Mapping[str, Tensor]) -> None:
        """For ``view: same``, require equal features from both front ends, once.

        Raises:
            TeacherError: If they differ, with the way out.
        """
        if self.view != "same" or self._front_ends_agree:
            return
        self._follow(batch["speech"])
        ours, theirs = (_features(m, batch) for m in (student, self.model))
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs, atol=1e-4):
            raise TeacherError(
                f"teacher {self.name}: 'view: same' needs the student's front end, but "
                "the two give different features for the same audio. Use "
                "'view: clean', or give the student the teacher's frontend_conf."
            )
        self._front_ends_agree = True

    def _too_short(self, error: Exception, batch: Mapping[str, Tensor]) -> TeacherError:
        shortest = utterance_name(
            int(batch["speech_lengths"].argmin()), batch.get("utt_id")
        )
        return TeacherError(
            f"teacher {self.name}: utterance {shortest} is shorter than its "
            f"subsampling needs ({error}). Drop such utterances, by --min_seconds in "
            "stage 4 of the recipe."
        )

    def _follow(self, speech: Tensor) -> None:
        """Move to where the batch is: ESPnet moves the student after building it."""
        parameter = next(self.model.parameters(), None)
        dtype = speech.dtype if speech.is_floating_point() else None
        if parameter is None or parameter.device != speech.device:
            self.model.to(device=speech.device)
        if dtype is not None and parameter is not None and parameter.dtype != dtype:
            self.model.to(dtype=dtype)

    def _check_finite(self, outputs: ModelOutputs, utt_ids: list[str] | None) -> None:
        checks = {
            "CTC posteriors": (outputs.ctc_logits, outputs.encoder_out_lens),
            "decoder posteriors": (outputs.decoder_logits, outputs.ys_in_lens),
        }
        if outputs.joint_classes is not None:
            # -1e30 is right where a class has no probability; nan nowhere.
            broken = outputs.joint_classes.isnan().any(-1).any(-1, keepdim=True)
            values = torch.where(broken, float("nan"), 0.0)  # (B, T, 1)
            checks["joint output"] = (values, outputs.encoder_out_lens)
        checks |= {
            f"hidden '{tap}'": (h.values, h.lengths) for tap, h in outputs.hidden.items()
        }
        for what, (values, lengths) in checks.items():
            if values is not None:
                bad = _not_finite(values, lengths)
                if bad.any():
                    self._refuse(what, bad, utt_ids)

    def _refuse(self, what: str, bad: Tensor, utt_ids: list[str] | None) -> None:
        rows = bad.nonzero().flatten().tolist()
        first = utterance_name(rows[0], utt_ids)
        raise TeacherError(
            f"teacher {self.name}: its {what} hold nan or inf for {len(rows)} "
            f"utterance(s), first {first}. Check the teacher's checkpoint and "
            "normalisation statistics, and whether it can run in this precision "
            "(without --use_amp, for one)."
        )


def freeze(model: nn.Module) -> nn.Module:
    """Make a model a silent guest: evaluating, without gradients or side errands."""
    model.eval().requires_grad_(False)
    for name in ("error_calculator", "error_calculator_trans", "asr_error_calculator"):
        if hasattr(model, name):
            setattr(model, name, None)
    ctc = getattr(model, "ctc", None)
    if ctc is not None:
        ctc.dropout_rate = 0.0  # ESPnet applies it in evaluation as well
    encoder = getattr(model, "encoder", None)
    if getattr(encoder, "dynamic_chunk_training", False):
        encoder.dynamic_chunk_training = False  # random chunks, also in evaluation
    return model


def check_needs(model: nn.Module, request: Request, side: str) -> None:
    """Require the parts that the losses read, before anything runs.

    Raises:
        KDError: Naming the first missing part and what to do.
    """
    view = view_of(model)
    if (request.ctc or request.interctc) and view.ctc_lo is None:
        raise KDError(
            f"the {side} has no CTC layer (ctc_weight is 0); train it with one, or "
            "remove the ctc_* losses"
        )
    missing = [layer for layer in request.interctc if layer not in view.interctc]
    if missing:
        has = ", ".join(map(str, view.interctc)) or "none"
        raise KDError(
            f"head {missing[0]}: the {side} has no intermediate CTC behind that encoder "
            f"layer (it has: {has}). Name it in encoder_conf.interctc_layer_idx, and set "
            "model_conf.interctc_weight above 0"
        )
    if (request.decoder or request.decode) and view.decoder is None:
        raise KDError(
            f"the {side} has no attention decoder (a CTC-only or transducer model); "
            "remove the token_* losses"
        )
    if request.forced and view.decoder is None and view.predictor is None:
        raise KDError(
            f"the {side} has no decoder, along whose labels the teacher's could be "
            "forced; tap the teacher's encoder instead"
        )
    if request.joint:
        _check_joint(model, side)
    if request.nbest and not can_search(model):
        raise KDError(
            f"the {side} ({type(model).__name__}) has no beam search here; ctc_nbest with "
            "'search: greedy' needs none, or decode beforehand and train on the result"
        )
    for tap in request.taps:
        try:
            find_module(model, parse_tap(tap).path)
        except KDError as error:
            raise KDError(f"the {side}: {error}") from None


def _check_joint(model: nn.Module, side: str) -> None:
    reason = None
    if view_of(model).joint is None:
        reason = "is no transducer"
    elif getattr(model, "use_k2_pruned_loss", False):
        reason = "is trained by the pruned loss, which makes no whole lattice"
    elif getattr(model, "transducer_multi_blank_durations", None):
        reason = "has blanks of several durations, which leave the lattice's steps"
    if reason is not None:
        raise KDError(
            f"the {side} {reason}; remove the transducer_* losses (hidden_* losses, and "
            "ctc_* losses on an auxiliary CTC, need no lattice)"
        )


@contextmanager
def _without_front_end(model: nn.Module) -> Iterator[None]:
    """Let a model take features for a while, as if it had been built for them."""
    front_end, model.frontend = model.frontend, None
    try:
        yield
    finally:
        model.frontend = front_end


def _features(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model._extract_feats(batch["speech"].clone(), batch["speech_lengths"])[0]


def _not_finite(values: Tensor, lengths: Tensor) -> Tensor:
    """Which utterances hold nan or inf at a real position, (B,) bool."""
    sums = values.sum(-1, dtype=torch.float32)  # nan and inf survive a sum
    sums = sums.sum(1) if sums.dim() == 3 else sums  # (B, L), also of heads' maps
    width = int(lengths.max()) if lengths.numel() else 0
    sums = sums[:, :width]
    return (length_mask(lengths, sums.shape[1]) & ~sums.isfinite()).any(-1)
