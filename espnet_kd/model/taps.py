"""Named outputs of a model, recorded by forward hooks that always come off again.

A tap is written ``PATH[:SELECTOR][@CALL]``. ``PATH`` is a module path as in
``model.named_modules()``; ``SELECTOR`` picks a part of a nested output by its indices
(``0.1``) and defaults to the first tensor found, or is ``attn`` for the map that an
attention module keeps; ``CALL`` says which call is meant when a module runs more than
once in a forward pass (``@0`` the first, ``@-1`` the last). Of several teachers, ``NAME:``
in front says whose it is.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from espnet_kd.errors import KDError

SPEC = re.compile(
    r"((?P<owner>[a-z][a-z0-9_]*):(?!\d|attn(@|$)))?"
    r"(?P<path>[\w.]+)(:((?P<selector>\d+(\.\d+)*)|(?P<attn>attn)))?(@(?P<call>-?\d+))?"
)
# ESPnet goes on to change these outputs in place (time warp, masks, mean and variance).
OVERWRITTEN = ("frontend", "specaug", "normalize")


@dataclass(frozen=True)
class Tap:
    """One named output: a module path, a selector into its output, a call index, whose."""

    path: str
    selector: tuple[int, ...] | None = None
    call: int | None = None
    attn: bool = False
    owner: str = ""

    def __str__(self) -> str:
        """The tap as a user writes it."""
        selector = "" if self.selector is None else ":" + ".".join(map(str, self.selector))
        selector = ":attn" if self.attn else selector
        owner = f"{self.owner}:" if self.owner else ""
        return f"{owner}{self.path}{selector}{'' if self.call is None else f'@{self.call}'}"


@dataclass(frozen=True)
class Call:
    """One call of a module: what went in by position, what came out, what it attended."""

    args: tuple[Any, ...]
    output: Any
    attn: Tensor | None = None


def parse_tap(text: str) -> Tap:
    """Read ``PATH[:SELECTOR][@CALL]``.

    Raises:
        KDError: If the text is not of that form.
    """
    match = SPEC.fullmatch(str(text))
    if match is None:
        raise KDError(
            f"'{text}' is not a tap; write PATH, PATH:SELECTOR or PATH@CALL, for "
            "example encoder.encoders.5, decoder:0 or encoder.after_norm@-1, and NAME: in "
            "front for a teacher of that name"
        )
    selector, call = match["selector"], match["call"]
    return Tap(
        path=match["path"],
        selector=None if selector is None else tuple(map(int, selector.split("."))),
        call=None if call is None else int(call),
        attn=match["attn"] is not None,
        owner=match["owner"] or "",
    )


def split_owner(text: str) -> tuple[str, str]:
    """The teacher's name in front of a tap, which may be none, and the tap without it."""
    tap = parse_tap(text)
    return tap.owner, str(replace(tap, owner=""))


def check_unowned(taps: Iterable[str]) -> None:
    """Require taps to name no teacher, where there is one to choose from.

    Raises:
        KDError: With the first that does, and the way out.
    """
    for text in taps:
        if owner := parse_tap(text).owner:
            raise KDError(
                f"'{text}' is of a teacher named '{owner}', and there are not several; "
                f"leave '{owner}:' out, or name several teachers and give one of them "
                f"'name: {owner}'"
            )


def check_rule_alone(owner: str) -> None:
    """The same of a rule that pairs the layers of a teacher of a name."""
    check_unowned([f"{owner}:uniform"] if owner else [])


class Taps:
    """Record calls of a model's modules between ``start`` and ``stop``.

    Modules are looked up at every ``start``, for adapters replace them after a model was
    built, and hooks on the replaced ones would be lost.

    Args:
        paths: Module paths to record.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(dict.fromkeys(paths))
        self._calls: dict[str, list[Call]] = {}
        self._handles: list[RemovableHandle] = []

    def start(self, model: nn.Module) -> None:
        """Begin to record; what an interrupted pass left behind is dropped."""
        self.stop()
        self._calls = {path: [] for path in self.paths}
        for path in self.paths:
            module = find_module(model, path)
            self._handles.append(module.register_forward_hook(self._recorder(path)))

    def stop(self) -> dict[str, list[Call]]:
        """Take the hooks off and hand over what was recorded, keeping nothing."""
        for handle in self._handles:
            handle.remove()
        calls, self._calls, self._handles = self._calls, {}, []
        return calls

    def _recorder(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        calls = self._calls[path]
        copy = path.split(".")[0] in OVERWRITTEN

        def record(module: nn.Module, args: Any, output: Any) -> None:
            attn = getattr(module, "attn", None)
            calls.append(Call(args, _clone(output) if copy else output, attn))

        return record


def find_module(model: nn.Module, path: str) -> nn.Module:
    """Find a module by its path.

    Raises:
        KDError: If there is none, naming the deepest part that exists and its children.
    """
    module, found = model, list[str]()
    for name in path.split("."):
        child = module._modules.get(name)
        if child is None:
            raise KDError(_missing(path, ".".join(found), module))
        module, found = child, [*found, name]
    return module


def has_module(model: nn.Module, path: str) -> bool:
    """Whether there is a module of that path."""
    try:
        find_module(model, path)
    except KDError:
        return False
    return True


def select(tap: Tap, calls: list[Call]) -> Any:
    """Pick the output a tap means from the recorded calls of its module.

    Returns:
        The selected part, or None if the module did not run (a dropped layer).

    Raises:
        KDError: If the module ran more than once and the tap does not say which call,
            or if the selector points at nothing.
    """
    if not calls:
        return None
    if tap.call is None and len(calls) > 1:
        raise KDError(
            f"tap '{tap}': the module ran {len(calls)} times in one pass; "
            f"say which call is meant, for example {tap.path}@0 or {tap.path}@-1"
        )
    try:
        call = calls[tap.call or 0]
        if tap.attn:
            return call.attn
        output = call.output
        for index in tap.selector or ():
            output = output[index]
    except (IndexError, KeyError, TypeError):
        raise KDError(f"tap '{tap}' points at nothing in the module's output") from None
    return output


def first_tensor(output: object) -> Tensor | None:
    """The first tensor of a nested output, depth first, or None."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict):
        output = tuple(output.values())
    if isinstance(output, list | tuple):
        return next((t for t in map(first_tensor, output) if t is not None), None)
    return None


def _clone(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.clone()
    if isinstance(output, list | tuple):
        return type(output)(map(_clone, output))
    return output


def _missing(path: str, found: str, module: nn.Module) -> str:
    children = [f"{found}.{name}".lstrip(".") for name in module._modules]
    if len(children) > 8:
        listed = f"{children[0]} to {children[-1]}"
    else:
        listed = ", ".join(children) or f"nothing below '{found}'"
    return f"no module '{path}'; it has {listed}"
