"""ESPnet's task ``st`` with distillation."""

from espnet2.tasks.st import STTask

from espnet_kd.host.compat import stock_class
from espnet_kd.tasks.kd_task import KDTask


# Its base is found in the running program: ESPnet's own class, not a variant of it.
class KDSTTask(KDTask, stock_class(STTask)):  # type: ignore[misc]  # see above
    """See ``KDTask``."""
