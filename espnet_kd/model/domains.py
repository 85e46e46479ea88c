"""What two models must have in common before their outputs mean the same.

Only of models that are asked by their own forward pass: both are given one batch, and what
they say of it is compared number by number, so that a mel spectrum of other bands or of
another normalisation would teach a student nonsense, of the right shape.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.classes import class_count
from espnet_kd.model.families import family_of, synthesiser_of
from espnet_kd.model.request import Request

Settings = Mapping[str, Any]
# Attributes of modules that are no settings: where statistics were read from, and a mode.
PRIVATE = ("training", "stats_file")
ASKED_BY_PARTS = "recogniser or translator of speech"


def check_comparable(student: nn.Module, teacher: nn.Module, request: Request) -> None:
    """Require of a teacher that it speaks of what its student speaks of.

    Args:
        student: The student.
        teacher: A teacher whose frames are made in the training.
        request: What is asked of it.

    Raises:
        KDError: If it is of another kind, or has other settings of what is compared.
    """
    family, other = family_of(student), family_of(teacher)
    if family is not other:
        kinds = [f.title if f is not None else ASKED_BY_PARTS for f in (family, other)]
        raise KDError(
            f"the student is a {kinds[0]} and the teacher a {kinds[1]} "
            f"({type(teacher).__name__}); name a teacher of the student's own task"
        )
    if family is None:
        return
    for name in (None, *request):
        read = DOMAINS.get(name)
        if read is not None:
            _compare(read(student), read(teacher), name)


def _compare(student: Settings, teacher: Settings, name: str | None) -> None:
    names = sorted(student.keys() | teacher.keys())
    apart = [n for n in names if not _same(student.get(n), teacher.get(n))]
    if not apart:
        return
    told = "; ".join(f"{n}: {_told(student, n)} and {_told(teacher, n)}" for n in apart[:4])
    what = "their audio is not the same" if name is None else f"their {name} do not compare"
    raise KDError(
        f"student and teacher differ in {told}, so that {what}; build the student with "
        "the teacher's settings, or name another teacher"
    )


def _same(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and bool(torch.allclose(one.cpu(), other.cpu()))
    return bool(one == other)


def _told(settings: Settings, name: str) -> str:
    value = settings.get(name, "none")
    return "other numbers" if isinstance(value, Tensor) else str(value)


def _audio(model: nn.Module) -> Settings:
    """The sampling rate that a model's parts say they were made for."""
    parts: Any = model
    frontend = getattr(parts, "frontend", None)
    mel = getattr(getattr(frontend, "logmel", None), "mel_options", {})
    rates = (
        getattr(getattr(parts, "feats_extract", None), "fs", None),
        mel.get("sr"),
        getattr(getattr(parts, "encoder", None), "default_fs", None),
    )
    known = [int(rate) for rate in rates if rate is not None]
    return {"sampling rate": known[0]} if known else {}


def _spectrum(model: nn.Module) -> Settings:
    """How a spectrum is made: of which frames and bins, and how it is normalised."""
    name, synthesiser = synthesiser_of(model)
    if not name:
        return {**_of_part(model, "encoder"), **_scale(model), **_sources(model)}
    found = {"bins of the spectrum": int(getattr(synthesiser, "odim", 0))}
    return {**found, **_of_part(model, "feats_extract"), **_of_part(model, "normalize")}


def _masks(model: nn.Module) -> Settings:
    return {**_of_part(model, "encoder"), **_sources(model)}


def _sources(model: nn.Module) -> Settings:
    return {"number of speakers": int(getattr(model, "num_spk", 1))}


def _scale(model: nn.Module) -> Settings:
    """Whether the input's variance is normalised before it is separated."""
    names = ("normalize_variance", "normalize_variance_per_ch")
    return {name: bool(getattr(model, name, False)) for name in names}


def _durations(model: nn.Module) -> Settings:
    """What a duration is counted in, and what its logarithm is taken of."""
    extract = _of_part(model, "feats_extract")
    hop = {k: v for k, v in extract.items() if k.endswith((".hop_length", ".fs"))}
    predictor = getattr(synthesiser_of(model)[1], "duration_predictor", None)
    return {**hop, "offset of the durations": getattr(predictor, "offset", None)}


def _classes(model: nn.Module) -> Settings:
    names = tuple(getattr(model, "token_list", ()))
    return {"number of classes": class_count(model), "names of the classes": names}


def _of_part(model: nn.Module, part: str) -> Settings:
    """Plain attributes and buffers of a part and of all inside of it, by their names."""
    module = getattr(model, part, None)
    if not isinstance(module, nn.Module):
        return {part: "none"}
    return dict(_settings(module, part))


def _settings(module: nn.Module, path: str) -> Iterator[tuple[str, Any]]:
    yield path, type(module).__name__
    for name, value in vars(module).items():
        is_plain = isinstance(value, str | int | float | dict)
        if is_plain and not name.startswith("_") and name not in PRIVATE:
            yield f"{path}.{name}", value
    for name, value in module.named_buffers(recurse=False):
        yield f"{path}.{name}", value
    for name, child in module.named_children():
        yield from _settings(child, f"{path}.{name}")


DOMAINS: dict[str | None, Callable[[nn.Module], Settings]] = {
    None: _audio,
    "waveforms": _sources,
    "spectrum": _spectrum,
    "masks": _masks,
    "durations": _durations,
    "classes": _classes,
}
