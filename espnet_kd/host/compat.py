"""What differs between ESPnet releases, and the ESPnet names that this package needs."""

from __future__ import annotations  # keeps torch out of light-weight commands

import argparse
import importlib
import importlib.util
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any

from espnet_kd.errors import KDError, suggest
from espnet_kd.host.known_tasks import TASKS
from espnet_kd.host.quiet import quiet_import
from espnet_kd.host.tokens import name_tokens

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Variant:
    """What stands in for a name of ESPnet's while the plugin is registered.

    Attributes:
        attribute: The name in ESPnet's module.
        module: Module of this package that has the variant; imported after the stock one.
        name: What the variant is called there.
    """

    attribute: str
    module: str
    name: str


# ESPnet's module -> its variant, found by name, for spawned workers find it so.
VARIANTS = {
    module: Variant(task, "espnet_kd.tasks.variants", f"KD{task}")
    for module, task in TASKS.values()
} | {
    "espnet2.tasks.abs_task": Variant(
        "AbsTask", "espnet_kd.tasks.refusing", "RefusingTask"
    ),
    "espnet2.train.lightning_espnet_model": Variant(
        "LitESPnetModel", "espnet_kd.tasks.lit_espnet", "KDLitESPnetModel"
    ),
    "espnet3.components.modeling.lightning_module": Variant(
        "ESPnetLightningModule", "espnet_kd.tasks.espnet3", "KDESPnetLightningModule"
    ),
    "espnet3.utils.task_utils": Variant(
        "get_task_class", "espnet_kd.host.compat", "espnet3_task_class"
    ),
}


def task_class(name: str) -> type[Any]:
    """Import the stock task class of a task name.

    Raises:
        KDError: If the name is unknown.
    """
    if name not in TASKS:
        raise KDError(f"unknown task '{name}'; {suggest(name, TASKS)}")
    module, attribute = TASKS[name]
    return stock_class(getattr(quiet_import(module), attribute))


def language_model_task() -> type[Any]:
    """Import the stock task class of language models."""
    return task_class("lm")


def stock_class(task: type[Any]) -> type[Any]:
    """Find ESPnet's own class behind a variant of this package."""
    stock = (c for c in task.__mro__ if c.__module__.startswith(("espnet2.", "espnet3.")))
    return next(stock, task)


def espnet3_task_class(path: str) -> type[Any]:
    """Find the task class that ESPnet3 builds models by: ESPnet's own, by its dotted name.

    It stands in for ESPnet3's ``get_task_class``. Variants of task classes would attach a
    teacher wherever a model is built, which ESPnet3 does to collect statistics as well;
    its Lightning module attaches when a training begins.

    Raises:
        RuntimeError: If there is no such class, as ESPnet3 raises it.
    """
    from hydra.utils import get_class

    provide_rnnt_loss()
    try:
        return stock_class(get_class(path))
    except Exception as error:  # as ESPnet3 does
        raise RuntimeError(f"Failed to get task class from {path}: {error}") from error


def is_too_short(error: Exception) -> bool:
    """Whether ESPnet's encoder refused an utterance as shorter than its subsampling needs.

    By name: where the class lives differs between releases.
    """
    return type(error).__name__ == "TooShortUttError"


def default_settings(task: type[Any]) -> dict[str, Any]:
    """Give the settings of a task's training whose command line is empty.

    ESPnet's own ``get_default_config`` reads the running program's command line.
    """
    return dict(vars(task.get_parser().parse_args([])))


def build_model(task: type[Any], config: Mapping[str, Any]) -> nn.Module:
    """Build an untrained model from an experiment's configuration.

    Args:
        task: ESPnet task class of the model.
        config: All settings of the task, as config.yaml holds them.
    """
    provide_rnnt_loss()
    args = argparse.Namespace(**config)
    model: nn.Module = task.build_model(args)
    if config.get("use_adapter"):
        from espnet2.layers.create_adapter import create_adapter

        create_adapter(model, args.adapter, args.adapter_conf)
    name_tokens(model, vars(args))
    return model


def beam_search(model: Any, beam_size: int) -> Callable[[Tensor], list[Any]]:
    """Build ESPnet's own beam search over one utterance's encoder output (T, D).

    CTC and attention decoder count alike where a model has both, as in ESPnet's
    defaults. The hypotheses come best first, each with ``yseq`` and ``score``.

    Args:
        model: An ESPnet model with a decoder or CTC.
        beam_size: Hypotheses kept at each step, and given at the end.
    """
    search: Callable[[Tensor], list[Any]]
    if getattr(model, "use_transducer_decoder", False):
        from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer

        parts = (model.decoder, model.joint_network, beam_size)
        search = BeamSearchTransducer(*parts, nbest=beam_size, score_norm=False)
        return search
    inference = quiet_import("espnet2.bin.asr_inference")
    ctc_weight = 1.0 if model.decoder is None else 0.5 if model.ctc is not None else 0.0
    scorers = {"decoder": model.decoder}
    if model.ctc is not None:
        scorers["ctc"] = inference.CTCPrefixScorer(ctc=model.ctc, eos=model.eos)
    search = inference.BatchBeamSearch(
        scorers=scorers,
        weights={"decoder": 1.0 - ctc_weight, "ctc": ctc_weight},
        beam_size=beam_size,
        vocab_size=len(model.token_list),
        sos=model.sos,
        eos=model.eos,
        token_list=model.token_list,
        pre_beam_score_key=None if ctc_weight == 1.0 else "full",
    ).eval()
    return search


def rnnt_loss_module() -> ModuleType:
    """Make a stand-in for ``warprnnt_pytorch``, which ESPnet's transducers import.

    PyPI does not have that package. The loss is torchaudio's, computed in float32.
    """
    import torch
    from torchaudio.functional import rnnt_loss

    class RNNTLoss(torch.nn.Module):
        """``RNNTLoss`` with the arguments that ESPnet gives it."""

        def __init__(
            self, blank: int = 0, reduction: str = "mean", fastemit_lambda: float = 0.0
        ) -> None:
            super().__init__()
            if fastemit_lambda:
                raise KDError(
                    "fastemit_lambda needs warprnnt_pytorch, which is not installed; "
                    "set it to 0, or build that package"
                )
            self.blank = blank
            self.reduction = reduction

        def forward(
            self, logits: Tensor, targets: Tensor, t_lens: Tensor, u_lens: Tensor
        ) -> Tensor:
            """Compute the mean negative log-probability of the transcripts."""
            lengths = (t_lens.int(), u_lens.int())
            options = {"blank": self.blank, "reduction": self.reduction}
            loss: Tensor = rnnt_loss(logits.float(), targets.int(), *lengths, **options)
            return loss

    module = ModuleType("warprnnt_pytorch")
    module.__spec__ = ModuleSpec(module.__name__, None)
    vars(module)["RNNTLoss"] = RNNTLoss
    return module


def provide_rnnt_loss() -> None:
    """Let transducers train where ``warprnnt_pytorch`` is not installed."""
    name = "warprnnt_pytorch"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        sys.modules[name] = rnnt_loss_module()


def versions() -> str:
    """Name the versions that a result depends on, in one line."""

    def found(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} not installed"

    names = ("espnet", "torch", "torchaudio")
    return ", ".join([*map(found, names), f"python {platform.python_version()}"])
