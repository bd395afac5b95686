"""The unit report on every backend: against sums over everything at once, planted dead and double channels, and bad input."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import OUTPUT_AXIS
from phosphene import errors
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.receptive_field import receptive_field
from phosphene.unit_statistics.call import units

CROPS = Crops(40, seed=8)


def test_figures_are_those_of_all_activations_at_once(specimen: Network) -> None:
    found = units(specimen, CROPS, "stage2", top=4, batch=16)
    read = ph.activations(specimen, CROPS.images(), "stage2")["stage2"].astype(np.float64)
    flat = read.reshape(-1, read.shape[-1])
    assert found.images == 40
    np.testing.assert_allclose(found.density, (flat > 0).mean(0), atol=1e-4)
    np.testing.assert_allclose(found.on, (read > 0).any((1, 2)).mean(0), atol=0.03)
    np.testing.assert_allclose(found.mean, flat.mean(0), rtol=1e-4)
    np.testing.assert_allclose(found.deviation, flat.std(0), rtol=1e-4)
    np.testing.assert_allclose(found.largest, flat.max(0), rtol=1e-4)
    peaks = read.max((1, 2))
    np.testing.assert_allclose(found.top_values, -np.sort(-peaks, axis=0)[:4].T, rtol=1e-4)
    wanted = np.argsort(-peaks, axis=0)[:4].T
    assert (found.top == wanted).mean() > 0.98


def test_patches_are_what_a_position_sees(specimen: Network) -> None:
    found = units(specimen, CROPS, "stage1", top=1, batch=16)
    assert found.patches.shape[2:] == (11, 11, 3)
    images = CROPS.images()
    read = ph.activations(specimen, images, "stage1")["stage1"]
    for channel in (0, 7, 20):
        image = int(found.top[channel, 0])
        row, column = np.unravel_index(read[image, ..., channel].argmax(), read.shape[1:3])
        top, left = round((row + 0.5) * 2 - 5.5), round((column + 0.5) * 2 - 5.5)
        if 0 <= top <= 53 and 0 <= left <= 53:
            np.testing.assert_array_equal(found.patches[channel, 0], images[image, top : top + 11, left : left + 11])


def test_receptive_fields_are_those_of_the_architecture(specimen: Network) -> None:
    fields = [receptive_field(specimen, layer)[0] for layer in ("stem", "stage1", "stage2", "stage3", "output")]
    assert fields == [3, 11, 23, 47, 64]


def test_planted_dead_and_double_channels_are_found(specimen: Network) -> None:
    def plant(path: str, array: Any) -> Any:
        array = np.array(array)
        if path.startswith("stage2.") and "num_batches" not in path:
            moved = np.moveaxis(array, OUTPUT_AXIS[specimen.backend.name], 0)
            moved[5] = moved[9]
            if path.endswith(("conv2.weight", "conv2.kernel")):
                moved[3] = 0
            if path.startswith("stage2.project.") and array.ndim == 4:
                moved[3] = 0
            if path.rpartition(".")[2] == "bias":
                moved[3] = -1
        return array

    found = units(specimen.with_weights(plant), CROPS, "stage2", top=2, batch=20)
    assert 3 in found.dead and len(found.dead) <= 2
    assert (5, 9) in [pair[:2] for pair in found.twins]
    assert found.dead_bound == pytest.approx(3 / 40)
    assert "near-duplicates: 1 pairs: 5 and 9" in repr(found)


def test_a_table_a_figure_and_a_page(specimen: Network, tmp_path: Path) -> None:
    found = units(specimen, CROPS, "stage1", top=3)
    rows = list(csv.DictReader(io.StringIO(found.save(tmp_path / "u.csv").read_text())))
    assert len(rows) == 32 and rows[0]["state"] == "live"
    assert float(rows[4]["density"]) == pytest.approx(found.density[4], rel=1e-4)
    assert found.save(tmp_path / "u.png").read_bytes().startswith(b"\x89PNG")
    assert found.save(tmp_path / "u.svg").read_text().startswith("<?xml")
    page = found.save(tmp_path / "u.html").read_text()
    assert page.count('class="card"') == 32 and "http" not in page.replace("http-equiv", "").replace("w3.org", "")
    with pytest.raises(errors.InvalidParameter, match=r"\.png, \.svg or \.pdf"):
        found.save(tmp_path / "u.xls")


def test_layers_without_positions_and_what_cannot_be(specimen: Network) -> None:
    found = units(specimen, CROPS, "output", top=2)
    assert found.patches.shape == (18, 2, 64, 64, 3)
    with pytest.raises(errors.UnknownLayer):
        units(specimen, CROPS, "stage9")
    with pytest.raises(errors.InvalidParameter, match="twins: expected a number above 0 and at most 1"):
        units(specimen, CROPS, "stage1", twins=2.0)
