"""The table of the sweep: complete, and nothing in it is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import phosphene as ph
from sweep.architectures import SOURCES, Architecture, architectures
from sweep.outcomes import BAD, Outcome, read, write
from sweep.tiers import usable

AT_LEAST = {"torchvision": 35, "timm": 120, "transformers": 45, "jax": 12, "equinox": 6}


def test_nothing_in_the_table_is_wrong() -> None:
    assert {row.key: row.reason for row in read().values() if row.outcome in BAD} == {}


def test_the_table_is_broad_and_the_quick_tier_reaches_every_source() -> None:
    rows = read().values()
    counts, quick = (Counter(row.source for row in rows if row.quick or whole) for whole in (True, False))
    assert {source: counts[source] for source in SOURCES if counts[source] < AT_LEAST[source]} == {}
    assert {source for source in SOURCES if not quick[source]} == set()
    assert sum(quick.values()) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_the_table_has_what_is_declared(source: str) -> None:
    usable(source)
    declared = {(item.key, item.size, item.quick) for item in architectures(source)}
    assert declared == {(row.key, row.size, row.quick) for row in read().values() if row.source == source}


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    row = Outcome("timm", "vgg", "vgg11", 64, quick=True, layers=31, cam="features.20 2x2", seconds=1.5)
    row.add("warned", "guided", "a rule")
    row.add("named error", "crop", 'one, "two"\nthree')
    row.add("warned", "wrap", "nothing of weight")
    write([row], tmp_path / "table.csv")
    again = read(tmp_path / "table.csv")
    assert again == {"timm:vgg11": row}
    assert (row.outcome, row.part, row.reason) == ("named error", "crop", 'crop: named error: one, "two" three')
    again["timm:vgg11"].layers = 30
    assert row.compared_with(again["timm:vgg11"]) == {"layers": (30, 31)}


@pytest.mark.parametrize("fault", ["swapped", "scaled", "raises", "keeps a hook"])
def test_the_trial_sees_what_is_wrong(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that finds nothing is worth as much as what it would find: a library with a fault is caught."""
    torch = pytest.importorskip("torch")
    from sweep.trial import tried

    def made() -> object:
        torch.manual_seed(0)
        parts = (
            torch.nn.Conv2d(3, 8, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 6, 3, stride=2),
            torch.nn.ReLU(),
        )
        return torch.nn.Sequential(
            *parts, torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(24, 5)
        ).eval()

    true, attribute = ph.activations, ph.attribute

    def activations(network: ph.Network, images: object, paths: list[str]) -> object:
        read = true(network, images, paths)  # type: ignore[arg-type]
        if fault == "raises":
            raise ZeroDivisionError("division by zero")
        change = {"swapped": lambda value: value[:, ::-1], "scaled": lambda value: value * 1.01}.get(fault)
        return {path: change(value) if change and path == "0" else value for path, value in read.items()}

    def hooked(network: ph.Network, *arguments: object, **options: object) -> object:
        if fault == "keeps a hook":
            network.model.register_forward_hook(lambda *_: None)  # type: ignore[attr-defined]
        return attribute(network, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ph, "activations", activations)
    monkeypatch.setattr(ph, "attribute", hooked)
    row = tried(Architecture("torchvision", "small", "small", made, 32))
    wanted = {"raises": ("raw exception", "values"), "keeps a hook": ("wrong", "left as found")}
    outcome, part = wanted.get(fault, ("wrong", "values"))
    assert (row.outcome, part in row.part) == (outcome, True), row.reason
