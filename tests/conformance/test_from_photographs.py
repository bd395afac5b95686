"""Pictures that begin with a photograph: dreams and accentuations, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.data.crops import Crops

Load = Callable[..., Network]


def photograph(size: int = 72) -> Any:
    return Crops(3, seed=4, size=size).images()[1]


def test_a_dream_shows_more_of_what_is_seen(backend: str, load: Load) -> None:
    network, image = load("specimen", backend), photograph()
    found = ph.dream(network, image, ph.objectives.layer("stage1"), octaves=2, steps=5, progress=False)
    before, after = (
        float(np.square(ph.activations(network, picture[None], "stage1")["stage1"]).mean())
        for picture in (image, found.images[0])
    )
    assert found.images.shape == (1, 72, 72, 3) and after > 1.2 * before
    # The photograph is still there.
    assert np.corrcoef(found.images[0].ravel(), image.ravel())[0, 1] > 0.7
    assert found.settings["dream"]["octaves"] == [[51, 51], [72, 72]]


def test_a_dream_works_out_coarse_patterns_first(costly_backend: str, load: Load) -> None:
    """As many steps at the small size first add more of what is wide than at the whole size alone."""
    network, image = load("specimen", costly_backend), photograph(96)
    options: dict[str, Any] = {"progress": False, "factor": 2.0}
    fine = ph.dream(network, image, ph.objectives.layer("stage1"), octaves=1, steps=8, **options)
    wide = ph.dream(network, image, ph.objectives.layer("stage1"), octaves=2, steps=4, **options)

    def low(found: ph.Renders) -> float:
        added = np.fft.rfft2(found.images[0] - image, axes=(0, 1))
        frequency = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.rfftfreq(96)[None])
        power = (np.abs(added) ** 2).sum(-1)
        return float(power[frequency < 0.15].sum() / power.sum())

    assert low(wide) > low(fine)


def test_a_dream_that_is_stopped_gives_what_it_has(costly_backend: str, load: Load) -> None:
    network, image = load("specimen", costly_backend), photograph()
    found = ph.dream(
        network, image, ph.objectives.layer("stage1"), octaves=2, steps=40, progress=lambda state: state.done < 10
    )
    assert found.status == ("interrupted",) and found.images.shape == (1, 72, 72, 3)
    assert np.abs(found.images[0] - image).max() > 0.01


def test_an_accentuation_trades_the_unit_against_the_photograph(backend: str, load: Load, tmp_path: Path) -> None:
    network, image = load("specimen", backend), photograph(64)
    unit = ph.channel("stage2", 5)
    before = float(ph.activations(network, image[None], "stage2")["stage2"][0, ..., 5].mean())
    found = ph.accentuate(
        network, image, unit, layer="stage1", threshold=before + 0.3, weights=(10, 1, 0.1), steps=24, progress=False
    )
    assert found.before == pytest.approx(before, rel=1e-4)
    assert (np.diff(found.renders.values) > 0).all() and (np.diff(found.feature_change) > 0).all()
    assert found.smallest is not None and found.smallest_change <= found.change.max()
    again = float(ph.activations(network, found.smallest[None], "stage2")["stage2"][0, ..., 5].mean())
    assert before + 0.3 <= again < before + 0.6
    distance = float(np.linalg.norm(found.smallest - image))
    assert distance == pytest.approx(found.smallest_change, rel=1e-3)
    assert "the smallest change that crosses it" in repr(found)
    assert found.save(tmp_path / "a.png").stat().st_size > 1000


def test_a_threshold_out_of_reach_is_said(costly_backend: str, load: Load) -> None:
    found = ph.accentuate(
        load("specimen", costly_backend),
        photograph(64),
        ph.logit("coins"),
        layer="stage1",
        threshold=1e4,
        weights=(10,),
        steps=3,
        progress=False,
    )
    assert found.smallest is None and np.isnan(found.smallest_change) and "no picture crosses it" in repr(found)


def test_what_cannot_be_is_refused(backend: str, load: Load) -> None:
    network, image = load("specimen", backend), photograph(64)
    unit = ph.channel("stage2", 5)
    for call, message in (
        (
            lambda: ph.dream(network, image, ph.objectives.layer("stage1"), factor=1.0),
            "factor: expected a number above 1",
        ),
        (lambda: ph.dream(network, image, ph.objectives.layer("stage1"), octaves=0), "octaves: expected"),
        (
            lambda: ph.dream(network, image[:20], ph.objectives.layer("stage2")),
            "image: expected a photograph of at least .*, the receptive field of stage2",
        ),
        (lambda: ph.dream(network, image * 255, ph.objectives.layer("stage1")), "image: expected"),
        (
            lambda: ph.dream(network, np.stack([image] * 2), ph.objectives.layer("stage1")),
            "image: expected one photograph",
        ),
        (
            lambda: ph.accentuate(network, image, unit, layer="stage1", threshold=-9.0),
            "threshold: expected a number above",
        ),
        (
            lambda: ph.accentuate(network, image, unit, layer="stage1", weights=()),
            "weights: expected at least one number, all",
        ),
        (lambda: ph.accentuate(network, image, unit, layer="stage9"), "no layer 'stage9'"),
        (lambda: ph.accentuate(network, image[:20], unit, layer="stage1"), "a photograph of at least"),
    ):
        with pytest.raises(errors.PhospheneError, match=message):
            call()
