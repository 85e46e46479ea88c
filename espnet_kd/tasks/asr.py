"""ESPnet's task ``asr`` with distillation."""

from espnet2.tasks.asr import ASRTask

from espnet_kd.host.compat import stock_class
from espnet_kd.tasks.kd_task import KDTask


# Its base is found in the running program: ESPnet's own class, not a variant of it.
class KDASRTask(KDTask, stock_class(ASRTask)):  # type: ignore[misc]  # see above
    """See ``KDTask``."""
