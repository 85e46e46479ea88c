"""A class ``KD<task>`` for every task in ``known_tasks.TASKS``, made when it is asked for.

Spawned workers find a class by its module and name, which asks for it there as well. So a
task is a row of that table and no file of its own, and importing this imports no task.
"""

import importlib
from typing import Any

from espnet_kd.host.compat import stock_class
from espnet_kd.host.known_tasks import TASKS
from espnet_kd.host.release import check_hook_points
from espnet_kd.tasks.kd_task import KDTask

# Descriptors that each class makes of its own.
OF_EVERY_CLASS = ("__dict__", "__weakref__")


def __getattr__(name: str) -> type[Any]:
    """Make the variant of a task.

    Raises:
        AttributeError: If no task has that name behind its ``KD``.
        KDError: If this ESPnet's task lacks what the variant takes hold of.
    """
    for module, task in TASKS.values():
        if name == f"KD{task}":
            return _made(name, getattr(importlib.import_module(module), task))
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def _made(name: str, task: type[Any]) -> type[Any]:
    # Importing a task may have put the variant here already, by the import hook.
    if name not in globals():
        stock = _on_stock(stock_class(task))
        check_hook_points(stock)
        about = {"__module__": __name__, "__doc__": f"{stock.__name__} that distils."}
        globals()[name] = type(name, (KDTask, stock), about)
    variant: type[Any] = globals()[name]
    return variant


def _on_stock(task: type[Any]) -> type[Any]:
    """The task itself; one derived from another's variant once more, from the stock task.

    ESPnet derives SLU from ASR, whose variant is imported in its place. What distillation
    adds would come behind the derived class then, which overrides half of it.
    """
    bases = tuple(stock_class(b) if b.__module__ == __name__ else b for b in task.__bases__)
    if bases == task.__bases__:
        return task
    own = {name: v for name, v in vars(task).items() if name not in OF_EVERY_CLASS}
    return type(task.__name__, bases, own)
