"""Families of models that are asked by their own forward pass, and how each counts.

A model with an encoder, CTC, decoder or joint network along a transcript (recognition,
speech translation) is asked by parts, see ``parts``, and belongs to none of these. Models
are recognised by what they have, not by the name of their task. To add a family: a row of
``FAMILIES``, and what is new of its axes in ``lengths``.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Rule:
    """How the outputs of a part of a model are laid out; so is all below it.

    Attributes:
        path: Module path of the part.
        axis: What its positions are, a name in ``lengths.AXES``; empty for a part that
            could not be compared with another model's.
        last: Whether they are the last axis, (B, D, L), not the middle one, (B, L, D).
    """

    path: str
    axis: str
    last: bool = False


@dataclass(frozen=True)
class Family:
    """Models of one kind.

    Attributes:
        title: What one is called in messages.
        has: Attributes by which one is recognised.
        stream: Name of its input in a batch.
        axis: What ``encoder_out_lens`` of its outputs counts.
        rules: Layouts of its parts; of several that fit a path, the longest holds.
        outputs: Rows of the table of outputs that it gives beside taps.
        losses: What works with it, for messages.
        reads: Modules, of those that a model has, whose calls are recorded: they say how
            long something is, or give the outputs.
        decoder: Module that gives its ``decoder`` row; None for the usual one.
        tokens: Lists of tokens in which student and teacher must agree, whatever is
            compared: both are given the same indices.
    """

    title: str
    has: tuple[str, ...]
    stream: str
    axis: str
    rules: tuple[Rule, ...]
    outputs: tuple[str, ...] = ()
    losses: str = "hidden_*, hidden_cka, similarity and rkd with taps"
    reads: tuple[str, ...] = ()
    decoder: str | None = None
    tokens: tuple[str, ...] = ()

    def rule_of(self, path: str) -> Rule | None:
        """The rule of a module path; None if its lengths are not known."""
        fitting = [r for r in self.rules if f"{path}.".startswith(f"{r.path}.")]
        longest = max(fitting, key=lambda rule: len(rule.path), default=None)
        return longest if longest is not None and longest.axis else None


def _predictor(name: str, axis: str) -> tuple[Rule, ...]:
    """A predictor of FastSpeech: convolutions over labels, then a number for each."""
    return Rule(name, axis), Rule(f"{name}.conv", axis, last=True)


def _forced(name: str, labels: str) -> tuple[Rule, ...]:
    """What synthesisers of speech and of singing have in common, of FastSpeech's kind."""
    return (
        Rule(f"{name}.encoder", labels),
        *_predictor(f"{name}.duration_predictor", labels),
        Rule(f"{name}.length_regulator", "steps"),
        Rule(f"{name}.decoder", "steps"),
        Rule(f"{name}.postnet", "mel", last=True),
    )


TAPS = Family.losses
FAMILIES = (
    Family(
        "language model",
        has=("lm", "ignore_id"),
        stream="text",
        axis="prefix",
        rules=(Rule("lm", "prefix"),),
        outputs=("decoder",),
        losses=f"token_kl, token_reverse_kl, token_jsd, and {TAPS}",
        reads=("lm",),
        decoder="lm",
        tokens=("text",),
    ),
    Family(
        "speech synthesiser",
        has=("tts", "feats_extract"),
        stream="speech",
        axis="mel",
        rules=(
            *_forced("tts", "labels"),
            Rule("tts.enc", "labels"),
            *_predictor("tts.pitch_predictor", "labels"),
            *_predictor("tts.energy_predictor", "labels"),
            Rule("tts.feat_out", "steps"),
            Rule("tts.dec.postnet", "mel", last=True),
        ),
        outputs=("spectrum", "durations"),
        losses=f"spectrum_l1, duration_mse, and {TAPS}",
        reads=(
            "feats_extract",
            "tts.feat_out",
            "tts.postnet",
            "tts.dec",
            "tts.duration_predictor",
            "tts.length_regulator",
        ),
        tokens=("text",),
    ),
    Family(
        "singing synthesiser",
        has=("svs", "feats_extract"),
        stream="singing",
        axis="mel",
        rules=_forced("svs", "notes"),
        outputs=("spectrum", "durations"),
        losses=f"spectrum_l1, duration_mse, and {TAPS}",
        reads=(
            "feats_extract",
            "svs.postnet",
            "svs.duration_predictor",
            "svs.length_regulator",
        ),
        tokens=("text",),
    ),
    Family(
        "speech enhancer",
        has=("separator", "loss_wrappers"),
        stream="speech_mix",
        axis="samples",
        rules=(
            Rule("encoder", "frames"),
            Rule("separator.rnn", "frames"),
            Rule("separator.conformer", "frames"),
            Rule("separator.transformer", "frames"),
            Rule("separator.tcn", "frames", last=True),
            # Its last layers are of all sources, in an order of its own.
            Rule("separator.tcn.network.3", ""),
            Rule("separator.tcn.network.4", ""),
        ),
        outputs=("waveforms", "spectrum", "masks"),
        losses=f"waveform_si_snr, spectrum_l1, mask_mse, and {TAPS}",
        reads=("encoder", "separator", "decoder"),
    ),
    Family(
        "speaker model",
        has=("pooling", "projector", "encoder"),
        stream="speech",
        axis="features",
        rules=(
            Rule("frontend", "features"),
            Rule("encoder", "share", last=True),
            Rule("encoder.embed", "share"),
            Rule("encoder.encoders", "share"),
            Rule("pooling", "utterance"),
            Rule("projector", "utterance"),
        ),
        outputs=("classes",),
        losses=f"class_kl, and {TAPS}",
        reads=("frontend", "pooling", "projector"),
    ),
    Family(
        "translator of text",
        has=("encoder", "decoder", "mt_error_calculator", "patch_size"),
        stream="src_text",
        axis="frames",
        rules=(
            Rule("frontend", "frames"),
            Rule("encoder", "frames"),
            Rule("decoder", "prefix"),
        ),
        outputs=("decoder",),
        losses=f"token_kl, token_reverse_kl, token_jsd, and {TAPS}",
        reads=("encoder", "decoder"),
        decoder="decoder",
        tokens=("text", "ctc"),
    ),
    Family(
        "diariser",
        has=("label_aggregator", "encoder"),
        stream="speech",
        axis="frames",
        rules=(Rule("encoder", "frames"), Rule("decoder", "frames")),
        reads=("encoder",),
    ),
    Family(
        "classifier",
        has=("classification_type", "encoder", "decoder"),
        stream="speech",
        axis="frames",
        rules=(Rule("encoder", "frames"), Rule("decoder", "utterance")),
        outputs=("classes",),
        losses=f"class_kl, and {TAPS}",
        reads=("encoder", "decoder"),
    ),
)


# Attributes that hold a synthesiser, of speech and of singing.
SYNTHESISERS = ("tts", "svs")


def synthesiser_of(model: nn.Module) -> tuple[str, Any]:
    """The synthesiser inside of a model, and the attribute that it is; "", None if none."""
    found = ((name, getattr(model, name)) for name in SYNTHESISERS if hasattr(model, name))
    return next(found, ("", None))


def family_of(model: nn.Module) -> Family | None:
    """The family of a model; None of one that is asked by parts."""
    fitting = (f for f in FAMILIES if all(hasattr(model, name) for name in f.has))
    return next(fitting, None)
