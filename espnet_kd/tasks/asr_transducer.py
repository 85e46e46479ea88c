"""ESPnet's task ``asr_transducer`` with distillation."""

from espnet2.tasks.asr_transducer import ASRTransducerTask

from espnet_kd.host.compat import stock_class
from espnet_kd.tasks.kd_task import KDTask


class KDASRTransducerTask(KDTask, stock_class(ASRTransducerTask)):
    """See ``KDTask``."""
