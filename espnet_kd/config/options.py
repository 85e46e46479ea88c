"""Options that are declared once: by the annotations of a function or a dataclass.

An option is a keyword-only parameter of a function, or a field of a dataclass. Its
annotation says what it may be, both to a type checker and here:

* ``Literal["batch", "token"]``: one of these words;
* ``bool``: true or false;
* ``Annotated[float, Check.positive]``, and whatever else is called with a ``Check``, a
  name and a value;
* any of these or ``None``.

Anything else is taken as it comes.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from functools import partial
from inspect import Parameter
from types import NoneType, UnionType
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from espnet_kd.config.check import Check

Section = TypeVar("Section")

Positive = Annotated[float, Check.positive]
NotNegative = Annotated[float, Check.not_negative]
Share = Annotated[float, partial(Check.between, low=0, high=1)]
Count = Annotated[int, Check.count]
Ordinal = Annotated[int, partial(Check.at_least, low=1)]
Updates = Annotated[int, partial(Check.at_least, low=0, unit="updates")]
SomeUpdates = Annotated[int, partial(Check.at_least, low=1, unit="updates")]


def options_of(schema: Callable[..., object]) -> tuple[Parameter, ...]:
    """The options that a function or a dataclass declares, in their order.

    Returns:
        One keyword-only parameter each, its annotation resolved.
    """
    hints = get_type_hints(schema, include_extras=True)
    return tuple(
        parameter.replace(
            kind=Parameter.KEYWORD_ONLY, annotation=hints.get(name, Parameter.empty)
        )
        for name, parameter in inspect.signature(schema).parameters.items()
        if is_dataclass(schema) or parameter.kind is Parameter.KEYWORD_ONLY
    )


def check_options(
    check: Check, options: Iterable[Parameter], given: Mapping[str, object]
) -> None:
    """Hold every option that is given against its annotation."""
    for option in options:
        if option.name in given:
            check_value(check, option.name, given[option.name], option.annotation)


def check_value(check: Check, name: str, value: object, hint: object) -> None:
    """Hold one value against an annotation; see the module for what counts."""
    origin = get_origin(hint)
    if hint is bool:
        check.flag(name, value)
    elif origin is Literal:
        check.one_of(name, value, get_args(hint))
    elif origin is Annotated:
        for rule in get_args(hint)[1:]:
            rule(check, name, value)
    elif origin in (Union, UnionType) and value is not None:
        for part in get_args(hint):
            if part is not NoneType:
                check_value(check, name, value, part)


def read_section(
    check: Check, name: str, raw: object, schema: Callable[..., Section]
) -> Section | None:
    """Read a mapping into the dataclass that declares its keys.

    Returns:
        The section; None if anything is wrong with it, which is noted then.
    """
    options = options_of(schema)
    before = len(check.problems)
    given = check.mapping(name, raw, [option.name for option in options])
    if given is None:
        return None
    check_options(check.at(name), options, given)
    return schema(**given) if len(check.problems) == before else None
