"""ESPnet's task ``st`` with distillation."""

from espnet2.tasks.st import STTask

from espnet_kd.host.compat import stock_class
from espnet_kd.tasks.kd_task import KDTask


class KDSTTask(KDTask, stock_class(STTask)):
    """See ``KDTask``."""
