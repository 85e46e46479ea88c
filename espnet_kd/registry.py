"""An open, strict table of named components, and the plug-ins that add to it."""

import importlib
import re
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from espnet_kd.errors import KDError, Problem, suggest

Component = TypeVar("Component")
NAME = re.compile(r"[a-z][a-z0-9_]*")


class Registry(Generic[Component]):
    """Components of one kind by name.

    Open: anybody may register. Strict: a taken or ill-formed name is refused, and an
    unknown one is answered with the closest that exists.

    Args:
        kind: What the components are, for messages: ``loss``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._components: dict[str, Component] = {}

    def register(self, name: str) -> Callable[[Component], Component]:
        """Decorate a component to make it known under ``name``.

        Raises:
            KDError: If the name is ill-formed, or taken (naming who took it).
        """
        if not NAME.fullmatch(name):
            raise KDError(
                f"{self.kind} name {name!r} must be lower case letters, digits and "
                "underscores, starting with a letter"
            )

        def keep(component: Component) -> Component:
            if name in self._components:
                taken = _place(self._components[name])
                raise KDError(
                    f"{self.kind} '{name}' of {_place(component)} is already taken by "
                    f"{taken}; choose another name"
                )
            self._components[name] = component
            return component

        return keep

    def get(self, name: str) -> Component:
        """Look a component up.

        Raises:
            KDError: If there is none of that name, with the closest that exists.
        """
        if name not in self._components:
            raise KDError(f"unknown {self.kind} '{name}'; {suggest(name, self.names())}")
        return self._components[name]

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        return tuple(sorted(self._components))

    def __contains__(self, name: object) -> bool:
        """Whether the name is registered."""
        return name in self._components


def import_plugins(modules: Iterable[str]) -> list[Problem]:
    """Import third-party modules, which register their components as they load.

    Returns:
        One problem for each module that could not be imported; never silent.
    """
    problems = []
    for index, module in enumerate(modules):
        try:
            importlib.import_module(module)
        except Exception as error:  # a plug-in may fail in any way of its own
            text = f"importing '{module}' failed: {type(error).__name__}: {error}"
            problems.append(Problem(f"plugins[{index}]", text))
    return problems


def _place(component: object) -> str:
    module = getattr(component, "__module__", "?")
    return f"{module}.{getattr(component, '__qualname__', component)}"
