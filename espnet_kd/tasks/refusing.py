"""Tasks that have no distillation, and say so to whoever gives them a ``kd_conf``."""

import argparse

from espnet2.tasks.abs_task import AbsTask

from espnet_kd.errors import KDError
from espnet_kd.host.compat import stock_class
from espnet_kd.host.known_tasks import TASKS


class RefusingTask(AbsTask):  # type: ignore[misc]  # ESPnet carries no types
    """The base of all of ESPnet's tasks; one without distillation refuses a ``kd_conf``.

    Command lines are answered by their parsers, see ``explained_kd_conf``. This is for
    arguments that no parser has seen, as those of espnetez are. A task that is
    derived from one with distillation has none by that.
    """

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace) -> None:
        """Refuse a ``kd_conf`` that would be ignored.

        Raises:
            KDError: Naming the tasks that have distillation.
        """
        stock = stock_class(cls)
        distils = (stock.__module__, stock.__name__) in TASKS.values()
        if getattr(args, "kd_conf", None) and not distils:
            raise KDError(
                f"{stock.__name__} has no distillation, so that its kd_conf would be "
                f"ignored; these tasks have it: {', '.join(TASKS)}. Train one of them, or "
                "leave the kd_conf out"
            )
        super().check_required_command_args(args)
