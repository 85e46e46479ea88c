"""Settings that meet: any two must train together, or be refused by a sentence.

KD_PAIRS        how many pairs are drawn (default: 300; every pair of settings is drawn
                once before one comes again, see the first test)
KD_PAIRS_SEED   another order, other losses and targets (default: 0)
KD_SHARE        1/2 takes every other of them, 2/2 the rest, as the two ESPnet lines do
                (default: 1/1)
KD_PAIR         one draw by its names, as a failure prints them
"""

import os
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pairs.draw import LOSS, PAIRS, TARGET, Draw, draws, named
from pairs.known import KNOWN
from pairs.trial import run
from pairs.verdict import OutcomeError
from pairs.world import World
from shares import share_of

SEED = int(os.environ.get("KD_PAIRS_SEED", "0"))
COUNT = int(os.environ.get("KD_PAIRS", "300"))
SHARD = 20
ONE = os.environ.get("KD_PAIR", "")
DRAWN = [named(ONE)] if ONE else share_of(draws(SEED, COUNT))
OUTCOMES: Counter[str] = Counter()


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, len(DRAWN), SHARD))
def test_they_train_or_say_why_not(start, world, tmp_path):
    wrong = []
    for draw in DRAWN[start : start + SHARD]:
        if not ONE and any(known.meets_in(draw) for known in KNOWN):
            OUTCOMES["known"] += 1
            continue
        said = outcome(draw, world, tmp_path / "run")
        OUTCOMES[said.partition(":")[0] if said.startswith("stock") else said[:7]] += 1
        if said.startswith("wrong"):
            least = smallest(draw, world, tmp_path / "run")
            wrong.append(f"KD_PAIR='{draw}' {said}\n  smallest: KD_PAIR='{least}'")
    assert not wrong, "\n".join(["", *wrong, "repeat by KD_PAIR=... pytest tests/pairs"])


@pytest.mark.slow
@pytest.mark.skipif(bool(ONE), reason="one draw")
def test_most_of_them_train():
    total = sum(OUTCOMES.values())
    assert OUTCOMES["trained"] >= total / 2, OUTCOMES
    assert OUTCOMES["stock cannot"] <= max(1, total / 20), OUTCOMES


def test_every_pair_of_settings_is_drawn_before_one_comes_again():
    drawn = [draw.settings for draw in draws(1, 2 * len(PAIRS))]
    assert set(drawn[: len(PAIRS)]) == set(drawn[len(PAIRS) :]) == set(PAIRS)


def test_a_draw_is_found_by_its_names():
    for draw in draws(0, 50):
        assert named(str(draw)) == draw


def outcome(draw: Draw, world: World, folder: Path) -> str:
    """What came of a draw, in a line."""
    try:
        return run(draw, world, folder)
    except OutcomeError as error:
        return f"wrong: {error}"
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        return f"wrong: {type(error).__name__} at {place}: {error}"


def smallest(draw: Draw, world: World, folder: Path) -> Draw:
    """A draw with as little as possible that still goes wrong."""
    for simpler in simpler_than(draw):
        if outcome(simpler, world, folder).startswith("wrong"):
            return smallest(simpler, world, folder)
    return draw


def simpler_than(draw: Draw) -> Iterator[Draw]:
    """The draw without one of its settings, its targets or its losses."""
    for setting in draw.settings:
        rest = tuple(s for s in draw.settings if s is not setting)
        yield Draw(draw.loss, draw.target, rest)
    if draw.target.name != "live":
        yield Draw(draw.loss, TARGET["live"], draw.settings)
    if draw.loss.name != "ctc_frame_kl":
        yield Draw(LOSS["ctc_frame_kl"], draw.target, draw.settings)
