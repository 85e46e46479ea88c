"""Every defect that draws have found, as a case of its own."""

import pytest
from pairs.draw import named
from pairs.known import KNOWN, MENDED
from pairs.trial import run


@pytest.mark.parametrize(("draw", "outcome"), MENDED.items(), ids=MENDED)
def test_what_was_mended_stays_mended(draw, outcome, world, tmp_path):
    assert outcome in run(named(draw), world, tmp_path / "run")


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(k.draw, marks=pytest.mark.xfail(strict=True, reason=k.reason))
        for k in KNOWN
    ],
)
def test_what_is_known_is_still_there(draw, world, tmp_path):
    assert run(named(draw), world, tmp_path / "run")


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.draw)
def test_a_known_defect_is_met_by_its_own_draw(known):
    assert known.meets_in(named(known.draw))
