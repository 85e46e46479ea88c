"""Losses that are one pure function: their options are the function's own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, Signature, signature
from typing import Any, ClassVar, Protocol, TypeVar, cast

from torch import Tensor

from espnet_kd.config.check import Check
from espnet_kd.config.options import check_options, options_of
from espnet_kd.losses.base import DistillationLoss

Function = TypeVar("Function", bound=Callable[..., Tensor])

# Keyword arguments of a function that come with every pass, not with a configuration.
FROM_PASS = ("blank_id", "eos_id", "sos_id", "weights")


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """The options of a loss that has none beside its function's."""


class PairMeasure(Protocol):
    """A measure of two (B, L, C) tensors of one shape and their lengths, (B,)."""

    def __call__(
        self,
        student: Tensor,
        teacher: Tensor,
        lengths: Tensor,
        /,
        *,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Scalar; ``weights`` multiplies each utterance, (B,)."""


class MeasuredLoss(DistillationLoss):
    """A loss that hands what it reads to one pure function, its measure.

    An option is written once: as an annotated keyword-only parameter of the measure, or
    as a field of a frozen dataclass if it says what is read, not how it is compared.
    From both the constructor's signature is made, which is the loss's schema::

        class TokenKL(TokenLoss, measure=token_kl): ...

    Args:
        **options: By name; see ``espnet_kd.config.options`` for what is checked.

    Attributes:
        own: The options that the measure does not know, a frozen dataclass.
        options: The options of the measure.
        said: Names of the options that were given, not left at their defaults.

    Raises:
        ArgumentsError: With all that is wrong with the options.
    """

    function: ClassVar[Callable[..., Tensor]]
    schema: ClassVar[type] = NoOptions
    own: Any
    __signature__: ClassVar[Signature | None] = None

    def __init_subclass__(
        cls,
        *,
        measure: Callable[..., Tensor] | None = None,
        own: type | None = None,
        **others: Any,
    ) -> None:
        """Take up a measure and a dataclass of options, each inherited if not named."""
        super().__init_subclass__(**others)
        if measure is not None:
            cls.function = staticmethod(measure)
        if own is not None:
            cls.schema = own
        cls.__signature__ = None if _has_own_constructor(cls) else Signature(_options(cls))

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.said = frozenset(options)
        known = _options(type(self))
        bound = Signature(known).bind(**options)
        bound.apply_defaults()
        own = {option.name for option in options_of(self.schema)}
        check = Check()
        check_options(check, known, bound.arguments)
        check.done()
        self.own = self.schema(**{n: bound.arguments[n] for n in own})
        self.options = {n: v for n, v in bound.arguments.items() if n not in own}
        self.check_together(check)
        check.done()

    def check_together(self, check: Check) -> None:
        """Note options that do not go together; each by itself is right."""

    def bound(self, function: Function) -> Function:
        """The measure with its options filled in, to be called as the function itself."""
        return cast(Function, partial(function, **self.options))


def _options(cls: type[MeasuredLoss]) -> list[Parameter]:
    """All options of a loss: its own, then the measure's; none of those that are given."""
    function = getattr(cls, "function", None)
    measured = options_of(function) if function is not None else ()
    return [*options_of(cls.schema), *(o for o in measured if o.name not in FROM_PASS)]


def _has_own_constructor(cls: type[MeasuredLoss]) -> bool:
    """Whether a subclass has written its options out, not handing ``**options`` on."""
    if "__init__" not in vars(cls):
        return False
    parameters = signature(vars(cls)["__init__"]).parameters.values()
    return not any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
