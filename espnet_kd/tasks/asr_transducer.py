"""ESPnet's task ``asr_transducer`` with distillation."""

from espnet2.tasks.asr_transducer import ASRTransducerTask

from espnet_kd.host.compat import stock_class
from espnet_kd.tasks.kd_task import KDTask


# Its base is found in the running program: ESPnet's own class, not a variant of it.
class KDASRTransducerTask(KDTask, stock_class(ASRTransducerTask)):  # type: ignore[misc]  # see above
    """See ``KDTask``."""
