"""A class ``KD<task>`` for every task in ``host.compat.TASKS``, made when it is asked for.

Spawned workers find a class by its module and name, which asks for it there as well. So a
task is a row of that table and no file of its own, and importing this imports no task.
"""

import importlib
from typing import Any

from espnet_kd.host.compat import TASKS, stock_class
from espnet_kd.host.release import check_hook_points
from espnet_kd.tasks.kd_task import KDTask


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
        stock = stock_class(task)
        check_hook_points(stock)
        about = {"__module__": __name__, "__doc__": f"{stock.__name__} that distils."}
        globals()[name] = type(name, (KDTask, stock), about)
    variant: type[Any] = globals()[name]
    return variant
