"""ESPnet's task ``asr`` with distillation."""

from espnet2.tasks.asr import ASRTask

from espnet_kd.host.compat import stock_class
from espnet_kd.tasks.kd_task import KDTask


class KDASRTask(KDTask, stock_class(ASRTask)):
    """See ``KDTask``."""
