"""Why a training would stop: each reason a sentence with its remedy, and no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_tb

from espnet_kd.errors import ConfigError, KDError
from espnet_kd.host.compat import is_too_short

LONGEST = 240
STOCK = "the same training without --kd_conf stops there as well"
# A function on the way to an error -> what could not be done, and what helps. The first
# that is on the way counts.
STAGES = {
    "look": (
        "the check itself stops ({why}); run the training to see whether it does, and "
        "report this"
    ),
    "load_pretrained_model": (
        "--init_param cannot be loaded ({why}); give parameters of this very model, or add "
        "--ignore_init_mismatch true"
    ),
    "load_teacher": (
        "the teacher cannot be built ({why}); does it load in this ESPnet by "
        "espnet_kd.bin.check_teacher?"
    ),
    "build_iter_factory": (
        "the data cannot be read ({why}); check the files that "
        "--train_data_path_and_name_and_type, --train_shape_file and their --valid_ "
        "counterparts name"
    ),
    "build_model": (
        "the student cannot be built ({why}); check its configuration, for " + STOCK
    ),
    "build_optimizers": (
        "the optimizer cannot be built ({why}); check optim and optim_conf, for " + STOCK
    ),
    "main_worker": (
        "the training stops before its first batch ({why}); check its arguments, for "
        + STOCK
    ),
}
UNKNOWN = "this stops with {why}; run the training without --kd_conf to see whether it does"


class Reasons(list[str]):
    """The reasons that were found, each once."""

    @contextmanager
    def attempt(self, stage: str = "", too_short: str = "") -> Iterator[None]:
        """Take what is raised inside for reasons, and go on behind.

        Args:
            stage: What is tried, with ``{why}`` in it; empty where it can be told by
                where the error came from.
            too_short: The same for utterances that a model finds too short.
        """
        try:
            yield
        except Exception as error:
            is_short = too_short and is_too_short(error)
            self.add(*reasons_of(error, too_short if is_short else stage))

    def add(self, *reasons: str) -> None:
        """Add those that are new."""
        self.extend(reason for reason in reasons if reason not in self)


def reasons_of(error: Exception, stage: str = "") -> list[str]:
    """Say why something stopped, a sentence each.

    Args:
        error: What it stopped with.
        stage: What was tried, see ``Reasons.attempt``.
    """
    if isinstance(error, ConfigError):
        return [one_line(str(problem)) for problem in error.problems]
    if isinstance(error, KDError):
        return [one_line(str(error))]
    if not stage:
        passed = functions_passed(error)
        stage = next((STAGES[name] for name in STAGES if name in passed), UNKNOWN)
    return [stage.format(why=why(error))]


def why(error: Exception) -> str:
    """An error of whatever kind in a few words."""
    text = one_line(f"{type(error).__name__}: {error}")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def one_line(text: str) -> str:
    """The same with single blanks."""
    return " ".join(text.split())


def functions_passed(error: Exception) -> set[str]:
    """Names of the functions that an error came through."""
    return {frame.name for frame in extract_tb(error.__traceback__)}
