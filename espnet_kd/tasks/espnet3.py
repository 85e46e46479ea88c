"""ESPnet3's trainings with distillation: ``model.kd_conf`` of a recipe's configuration."""

from espnet3.components.modeling.lightning_module import ESPnetLightningModule
from omegaconf import DictConfig, OmegaConf
from torch import nn

from espnet_kd.config.parse import parse_config
from espnet_kd.config.schema import KDConfig
from espnet_kd.errors import ConfigError, Problem
from espnet_kd.hook.attach import attachment_of
from espnet_kd.hook.attachment import Attachment
from espnet_kd.host.compat import espnet3_task_class
from espnet_kd.losses import LOSSES
from espnet_kd.tasks.arguments import named
from espnet_kd.tasks.kd_task import attach_for_training
from espnet_kd.tasks.lightning import DistilledModule


class KDESPnetLightningModule(
    DistilledModule,
    ESPnetLightningModule,  # type: ignore[misc]  # ESPnet carries no types
):
    """ESPnet3's Lightning module; with a ``kd_conf``, its model learns from a teacher.

    The model is ESPnet3's own and is attached when a fit begins: statistics are collected
    and models are validated without a teacher.

    Args:
        model: The student.
        config: All settings of the training, ``kd_conf`` under ``model`` or beside it.

    Raises:
        ConfigError: With every problem of the ``kd_conf``, or of what stands beside it.
    """

    def __init__(self, model: nn.Module, config: DictConfig) -> None:
        kd_config = kd_config_of(config)
        super().__init__(model, config)
        self.kd_config = kd_config
        self.distils = kd_config is not None

    def connect(self) -> Attachment:
        """Attach the model to the teachers of the ``kd_conf``; once."""
        attachment = attachment_of(self.model)
        if attachment is not None:
            return attachment
        assert self.kd_config is not None, "the callback is there with a kd_conf only"
        path = self.config.get("task")
        task = espnet3_task_class(path) if path else None
        size = self.config.model.get("input_size")
        return attach_for_training(self.model, self.kd_config, task, size)


def kd_config_of(config: DictConfig) -> KDConfig | None:
    """The validated ``kd_conf`` of a training's settings; None where there is none.

    Raises:
        ConfigError: If it is wrong, or beside settings with which it cannot be honoured.
    """
    places = {"model.kd_conf": config.get("model") or {}, "kd_conf": config}
    found = {name: conf.get("kd_conf") for name, conf in places.items()}
    found = {name: conf for name, conf in found.items() if conf}
    if not found:
        return None
    if len(found) > 1:
        text = "is given twice, under 'model' and beside it; leave one of them out"
        raise ConfigError([Problem("kd_conf", text)], "the training configuration")
    ((name, conf),) = found.items()
    if OmegaConf.is_config(conf):
        conf = OmegaConf.to_container(conf, resolve=True)
    origin = f"{name} of the training configuration"
    kd_config = parse_config(named(conf, origin), LOSSES)
    _check_beside(config, kd_config)
    return kd_config


def _check_beside(config: DictConfig, kd_config: KDConfig) -> None:
    """Refuse settings with which a ``kd_conf`` cannot be honoured."""
    problems = []
    if config.get("optimizers"):
        text = "several optimizers take turns, which is not distilled; use 'optimizer'"
        problems.append(Problem("optimizers", text))
    if kd_config.targets:
        text = (
            "cached targets are found by the names of utterances, and ESPnet3's data have "
            "numbers; use 'targets: live', or train by espnet2.bin.asr_train"
        )
        problems.append(Problem("kd_conf.targets", text))
    if problems:
        raise ConfigError(problems, "the training configuration")
