"""Tasks that have no distillation, and say so to whoever gives them a ``kd_conf``."""

import argparse

from espnet2.tasks.abs_task import AbsTask

from espnet_kd.errors import KDError
from espnet_kd.host.compat import TASKS, stock_class


class RefusingTask(AbsTask):  # type: ignore[misc]  # ESPnet carries no types
    """The base of all of ESPnet's tasks; one without distillation refuses a ``kd_conf``.

    Command lines are answered by their parsers, see ``explained_kd_conf``. This is for
    arguments that no parser has seen, as those of espnetez are.

    Attributes:
        distils: Whether a task has distillation.
    """

    distils = False

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace) -> None:
        """Refuse a ``kd_conf`` that would be ignored.

        Raises:
            KDError: Naming the tasks that have distillation.
        """
        if getattr(args, "kd_conf", None) and not cls.distils:
            name = stock_class(cls).__name__
            raise KDError(
                f"{name} has no distillation, so that its kd_conf would be ignored; these "
                f"tasks have it: {', '.join(TASKS)}. Train one of them, or leave the "
                "kd_conf out"
            )
        super().check_required_command_args(args)
