"""``docs/trust.md`` says the thresholds that a card is judged by, and shows pictures that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phosphene.trust.verdict import ENOUGH_IMAGES, THRESHOLDS

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "trust.md").read_text(encoding="utf-8")
ROWS = {
    "percentile among real images": ("percentile", "below"),
    "percentile under transforms": ("robust_percentile", "below"),
    "lead kept": ("kept", "below"),
    "rank among the units of the layer": ("rank", "above"),
    "consistency over seeds": ("consistency", "below"),
    "similarity to the path of real images": ("path", "below"),
    "spectral slope": ("slope", "above"),
    "most correlated other channel": ("twin", "above"),
    "other units' pictures": ("specificity", "below"),
    "pairs correct": ("score", "below"),
}


@pytest.mark.parametrize("line", ROWS)
def test_the_table_has_the_thresholds_in_use(line: str) -> None:
    name, side = ROWS[line]
    cells = next(row.split("|") for row in TEXT.splitlines() if row.startswith(f"| {line} |"))
    found = [re.fullmatch(rf"\s*{side} (-?[\d.]+)%?\s*", cell) for cell in cells[-3:-1]]
    assert all(found), cells
    assert tuple(float(match[1]) for match in found if match) == getattr(THRESHOLDS, name)


def test_every_threshold_is_in_the_table() -> None:
    assert {name for name, _ in ROWS.values()} == set(vars(THRESHOLDS))
    assert f"at least {ENOUGH_IMAGES}" in TEXT


def test_every_picture_is_there_and_small() -> None:
    shown = re.findall(r"\]\((images/\S+)\)", TEXT)
    assert len(shown) == len(set(shown)) >= 6
    assert all((DOCS / path).stat().st_size < 350_000 for path in shown)
