"""The unit report on every backend: against sums over everything at once, planted dead and double channels, and bad input."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from chains import chain, rectifier
from columns import OUTPUT_AXIS
from phosphene import errors
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.receptive_field import Fields, receptive_field
from phosphene.unit_statistics.call import Cutter, units
from phosphene.unit_statistics.result import Units

CROPS = Crops(40, seed=8)


def test_figures_are_those_of_all_activations_at_once(specimen: Network) -> None:
    found = units(specimen, CROPS, "stage2", top=4, border=True, batch=16)
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
    # The border, where a field of 23 pixels reaches beyond the image, counts for the statistics but not for the images.
    inner = units(specimen, CROPS, "stage2", top=4, batch=16)
    np.testing.assert_allclose(inner.largest, found.largest, rtol=1e-4)
    np.testing.assert_allclose(inner.top_values, -np.sort(-read[:, 3:14, 3:14].max((1, 2)), axis=0)[:4].T, rtol=1e-4)
    assert (inner.settings["border"], found.settings["border"]) == ("left out", "included")


def test_patches_are_what_a_position_sees(specimen: Network) -> None:
    found = units(specimen, CROPS, "stage1", top=1, batch=16)
    assert found.patches.shape[2:] == (11, 11, 3)
    images = CROPS.images()
    read = ph.activations(specimen, images, "stage1")["stage1"][:, 3:29, 3:29]
    for channel in (0, 7, 20):
        image = int(found.top[channel, 0])
        row, column = np.unravel_index(read[image, ..., channel].argmax(), read.shape[1:3])
        top, left = (row + 3) * 2 - 5, (column + 3) * 2 - 5
        np.testing.assert_array_equal(found.patches[channel, 0], images[image, top : top + 11, left : left + 11])
        # Nothing else matters to that position, and the outermost pixels of the patch do.
        changed = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
        changed[0, top : top + 11, left : left + 11] = found.patches[channel, 0]
        changed[1, top + 1 : top + 10, left + 1 : left + 10] = found.patches[channel, 0, 1:10, 1:10]
        alone, inner = ph.activations(specimen, changed, "stage1")["stage1"][:, row + 3, column + 3]
        np.testing.assert_allclose(alone[channel], found.top_values[channel, 0], rtol=1e-4)
        assert not np.allclose(inner, alone, rtol=1e-4)


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


@pytest.mark.parametrize("values", ["negative", "positive", "mixed", "smooth"])
def test_no_channel_is_dead_or_always_on_without_a_floor_at_zero(backend: str, tmp_path: Path, values: str) -> None:
    """Zero is a value like any other: below it everywhere, above it everywhere, or on both sides of it."""
    shift = {"negative": -2.0, "positive": 0.5, "mixed": -0.2, "smooth": -0.5}[values]
    network = chain(backend, [("unit", lambda x: x * x * x - 0.01 * x if values == "smooth" else x + shift)])
    images = np.random.default_rng(0).random((9, 8, 8, 3), np.float32)
    images[..., 2] = images[..., 2] * 0.1 + (0.9 if values == "mixed" else 0.0)
    found = units(network, images, "unit", top=2)
    assert not found.floor and not len(found.dead) and not len(found.always_on)
    assert "not applicable: this layer has no floor at zero" in repr(found)
    page = found.save(tmp_path / "u.html").read_text()
    assert "not applicable: this layer has no floor at zero" in page and "dead)" not in page and ">dead<" not in page
    assert page.count("<img") == 6  # no patch is left out
    assert {row["state"] for row in csv.DictReader(io.StringIO(found.table()))} == {"no floor"}
    texts = [axis.get_xlabel() for axis in found.plot().subfigs[0].axes]
    assert any("not applicable" in text for text in texts)
    assert Units.load(found.save(tmp_path / "u.npz")).floor is False


def test_a_rectified_layer_has_a_floor(backend: str) -> None:
    rectified = rectifier(backend)
    network = chain(backend, [("unit", lambda x: rectified(x - 0.5))])
    images = np.random.default_rng(0).random((9, 8, 8, 3), np.float32)
    images[..., 0], images[..., 1] = images[..., 0] * 0.4, images[..., 1] * 0.4 + 0.6
    found = units(network, images, "unit", top=2)
    assert found.floor and found.dead.tolist() == [0] and found.always_on.tolist() == [1]


def test_no_picture_is_left_out_of_a_sheet_without_a_floor(backend: str, tmp_path: Path) -> None:
    network = chain(backend, [("unit", lambda x: x - 3.0)])
    images = np.random.default_rng(0).random((9, 8, 8, 3), np.float32)
    found = ph.render_all(network, "unit", tmp_path, images=images, steps=4, warm_up=0, progress=False)
    assert found.settings["channels"] == [0, 1, 2] and found.settings["said"] == {}
    assert "not applicable: this layer has no floor at zero" in (tmp_path / "index.html").read_text()


def test_units_of_the_output_bear_class_names(specimen: Network, tmp_path: Path) -> None:
    assert specimen.classes is not None
    for layer in ("output", "head"):
        found = units(specimen, CROPS, layer, top=1)
        assert found.names == specimen.classes and specimen.classes[3] in found.save(tmp_path / "u.html").read_text()
    assert units(specimen, CROPS, "stage1", top=1).names == ()


def test_values_that_are_not_finite_are_counted_and_left_out(backend: str, tmp_path: Path) -> None:
    """A logarithm: of zero minus infinity, of a negative number NaN."""
    network = chain(backend, [("root", lambda x: (x - 0.5) ** 0.5), ("unit", lambda x: x * 2.0)])
    images = np.random.default_rng(0).random((9, 8, 8, 3), np.float32) * 0.4 + 0.55
    images[..., 1] = 0.2
    images[0, 0, 0, 2] = 0.1
    with pytest.warns(errors.ModelWarning, match=r"577 of 1,728 values of 'unit'.* NaN or infinite") as told:
        found = units(network, images, "unit", top=2)
    assert sum(issubclass(warning.category, errors.ModelWarning) for warning in told) == 1
    assert found.unknown.tolist() == [1] and "nan" not in repr(found).lower() and "not finite: 1: 1" in repr(found)
    wanted = 2 * np.sqrt(images[..., 2].astype(np.float64).ravel()[1:] - 0.5)
    np.testing.assert_allclose((found.mean[2], found.largest[2]), (wanted.mean(), wanted.max()), rtol=1e-4)
    for ending in (".png", ".html", ".csv", ".npz"):
        found.save(tmp_path / f"u{ending}")
    assert Units.load(tmp_path / "u.npz").unknown.tolist() == [1]
    calls: list[Callable[[], Any]] = [
        lambda: ph.activations(network, images, "unit"),
        lambda: ph.activations(network, images, "unit", out=tmp_path / "store"),
        lambda: ph.feature_maps(network, images[:2], "unit").save(tmp_path / "m.png"),
        lambda: ph.feature_maps(network, images[:2], "unit", aggregate=("mean", "max")).save(tmp_path / "m.png"),
        lambda: ph.embed(network, images, "unit").save(tmp_path / "e.png"),
        lambda: (
            ph.compare([network, network], images=images, layers=["unit", "unit"]).save(tmp_path / "c.png")
            if backend != "numpy-reference"
            else ph.activations(network, images, "unit")
        ),
    ]
    for call in calls:
        with pytest.warns(errors.ModelWarning, match="'unit'.* NaN or infinite") as told:
            call()
        # One for each network.
        assert sum(issubclass(warning.category, errors.ModelWarning) for warning in told) <= (
            2 if call is calls[-1] else 1
        )
    with pytest.warns(errors.ModelWarning):
        read = ph.activations(network, images, "unit")
    with pytest.warns(errors.ModelWarning, match="1 of 3 channels and 1 of 576 positions are left out"):
        features = ph.factorize(read, "unit", 2)
    assert not features.vectors[:, 1].any() and np.all(np.isfinite(features.vectors))


def test_patches_of_many_channels_and_large_fields_are_small(backend: str) -> None:
    network = chain(backend, [("unit", lambda x: x * 1.0)], name="wide")
    assert units(network, np.zeros((8, 8, 8, 3), np.float32), "output", top=1).patches.shape == (3, 1, 8, 8, 3)
    whole = Fields((300, 200), (300, 200), (), (0.0, 0.0), ())
    assert Cutter.of(whole, 192 * 9, 3).size == (64, 43)
    many = Cutter.of(whole, 2048 * 9, 3)
    assert max(many.size) >= 32 and 2048 * 9 * np.prod(many.size) * 3 * 4 <= 2**28
    # What is shown is the image, at that scale.
    image = np.zeros((300, 200, 3), np.float32)
    image[:150] = 1.0
    small = many.cut(many.shrunken(image), ())
    assert small[: small.shape[0] // 2 - 1].min() > 0.99 and small[small.shape[0] // 2 + 1 :].max() < 0.01


def test_layers_without_positions_and_what_cannot_be(specimen: Network) -> None:
    found = units(specimen, CROPS, "output", top=2)
    assert found.patches.shape == (18, 2, 64, 64, 3)
    with pytest.raises(errors.UnknownLayer):
        units(specimen, CROPS, "stage9")
    with pytest.raises(errors.InvalidParameter, match="twins: expected a number above 0 and at most 1"):
        units(specimen, CROPS, "stage1", twins=2.0)
