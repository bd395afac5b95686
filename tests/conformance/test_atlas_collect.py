"""Points of an atlas: the right places, what they add to each class, and the same store after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
import phosphene.atlas.points as collecting
from phosphene import errors
from phosphene.atlas import Atlas, collect
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.store import Store
from small_models import small_network

pytest.importorskip("zarr")
CROPS = Crops(12, seed=5)
LAYERS = ["stage2", "stage3"]


@pytest.fixture
def specimen(costly_specimen: Network) -> Network:
    return costly_specimen


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return CROPS.images()


def _points(store: Store) -> dict[str, np.ndarray]:
    return {name: store.read(name) for name in store.names}


def test_points_are_activations_at_the_same_inner_places(specimen: Network, images: np.ndarray, tmp_path: Path) -> None:
    store = collect(specimen, images, LAYERS, tmp_path, positions=3, batch=5)
    found = _points(store)
    assert store.complete and found["image"].tolist() == np.repeat(np.arange(12), 3).tolist()
    whole = ph.activations(specimen, images, [*LAYERS, "output"])
    np.testing.assert_allclose(found["logits"], np.repeat(whole["output"], 3, axis=0), rtol=1e-3, atol=1e-3)
    for layer in LAYERS:
        rows, columns = found[f"position.{layer}"].T
        side = whole[layer].shape[1]
        assert min(rows.min(), columns.min()) >= 1 and max(rows.max(), columns.max()) <= side - 2
        wanted = whole[layer][found["image"], rows, columns]
        np.testing.assert_allclose(found[f"activation.{layer}"], wanted, rtol=1e-3, atol=1e-4)
    # A cell of the coarser grid is two by two of the finer.
    np.testing.assert_array_equal(found["position.stage2"] // 2, found["position.stage3"])
    places = found["position.stage3"].reshape(12, 3, 2)
    assert all(len({tuple(place) for place in image}) == 3 for image in places.tolist())


def test_the_attribution_is_gradient_times_activation(specimen: Network, images: np.ndarray, tmp_path: Path) -> None:
    found = _points(collect(specimen, images[:4], LAYERS, tmp_path, positions=2, batch=2))
    for layer in LAYERS:
        for category in (0, 7):
            maps = ph.attribute(specimen, images[:4], category, method="hirescam", layer=layer).raw
            rows, columns = found[f"position.{layer}"].T
            wanted = np.asarray(maps)[found["image"], rows, columns]
            np.testing.assert_allclose(found[f"attribution.{layer}"][:, category], wanted, rtol=2e-3, atol=2e-4)


def test_draws_depend_on_the_image_alone(specimen: Network, images: np.ndarray, tmp_path: Path) -> None:
    one = _points(collect(specimen, images, "stage3", tmp_path / "one", batch=3, attributions=False))
    with ThreadPoolExecutor(2) as executor:
        other = _points(
            collect(specimen, images, "stage3", tmp_path / "other", batch=4, attributions=False, executor=executor)
        )
    np.testing.assert_array_equal(one["position.stage3"], other["position.stage3"])
    np.testing.assert_allclose(one["activation.stage3"], other["activation.stage3"], rtol=1e-3, atol=1e-4)
    assert "attribution.stage3" not in one
    third = _points(collect(specimen, images, "stage3", tmp_path / "third", seed=1, attributions=False))
    assert (third["position.stage3"] != one["position.stage3"]).any()


def test_a_run_that_is_stopped_goes_on_and_ends_equal(
    specimen: Network, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "SHARD_BYTES", 1)
    calls: list[ph.Progress] = []
    part = collect(
        specimen,
        images,
        LAYERS,
        tmp_path / "s",
        positions=2,
        batch=4,
        progress=lambda state: len(calls) < 1 and calls.append(state),
    )
    assert part.missing == [1, 2] and calls[0].total == 12 and calls[0].unit == "images"
    again = collect(specimen, images, LAYERS, tmp_path / "s", positions=2, batch=4)
    once = collect(specimen, images, LAYERS, tmp_path / "once", positions=2, batch=4)
    for name, values in _points(once).items():
        np.testing.assert_array_equal(again.read(name), values)


def test_activations_that_are_not_finite_are_counted_and_left_out(
    specimen: Network, images: np.ndarray, tmp_path: Path
) -> None:
    """A weight that is infinite makes two channels of one layer, and what comes after it, NaN or infinite."""
    broken = specimen.with_weights(
        lambda path, array: (
            np.where(np.arange(array.size).reshape(array.shape) == 0, np.inf, array)
            if (path.startswith("stage3.conv2") and "weight" in path) or path.endswith("stage3.conv2.kernel")
            else array
        )
    )
    with (
        pytest.warns(errors.ModelWarning, match=r"12 of stage3, 12 of output \(of 12 points\)"),
        pytest.raises(errors.InvalidParameter, match="at least one image whose activations are finite"),
    ):
        collect(broken, images, LAYERS, tmp_path)
    found = Atlas.open(tmp_path).left_out
    assert found["stage3"] == found["output"] == 12 and "stage2" not in found


def test_only_the_points_that_are_not_finite_are_left_out(backend: str, tmp_path: Path) -> None:
    def wrapped(**options: Any) -> Network:
        return ph.wrap(small_network(backend, **options), size=(8, 10), channels=3)

    images = np.random.default_rng(0).uniform(0, 1, (9, 8, 10, 3)).astype(np.float32)
    largest = ph.activations(wrapped(), images, "drop")["drop"].max(axis=1)
    limit = float(np.sort(largest)[5:7].mean())
    broken = wrapped(bomb=lambda x: x + 0 * (limit - x) ** 0.5)  # NaN where it is larger
    with pytest.warns(errors.ModelWarning, match=r"6 of output \(of 18 points\)"):
        store = collect(broken, images, ["conv"], tmp_path / "before", positions=2, batch=4)
    assert Atlas.open(tmp_path / "before").left_out == {"output": 6}
    assert store.read("image").tolist() == np.repeat(np.flatnonzero(largest < limit), 2).tolist()
    assert all(np.isfinite(values).all() for values in _points(store).values())
    with pytest.warns(errors.ModelWarning, match=r"3 of drop, 3 of output \(of 9 points\)"):
        store = collect(broken, images, ["conv", "drop"], tmp_path / "in", batch=4)
    # The same points in every layer, so also where a layer is finite.
    assert store.read("image").tolist() == np.flatnonzero(largest < limit).tolist()
    assert len(store.read("activation.conv")) == len(store.read("activation.drop")) == 6


def test_what_is_of_something_else_is_refused(specimen: Network, images: np.ndarray, tmp_path: Path) -> None:
    collect(specimen, images[:4], "stage3", tmp_path)
    other = specimen.with_weights(lambda path, array: array * 1.5 if path.startswith("head") else array)
    with pytest.raises(errors.OtherStore, match="its model is"):
        collect(other, images[:4], "stage3", tmp_path)
    with pytest.raises(errors.OtherStore, match="made from other images"):
        collect(specimen, images[4:8], "stage3", tmp_path)
    with pytest.raises(errors.OtherStore, match="its seed is"):
        collect(specimen, images[:4], "stage3", tmp_path, seed=3)
    ph.activations(specimen, images[:4], "stage3", out=tmp_path / "plain" / "points")
    with pytest.raises(errors.OtherStore, match="expected the store of an atlas, got one of kind 'activations'"):
        Atlas.open(tmp_path / "plain")
    with pytest.raises(errors.OtherStore, match="holds a store of another run"):
        collect(specimen, images[:4], "stage3", tmp_path / "plain")


def test_what_cannot_be(specimen: Network, images: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(errors.UnknownLayer, match="Did you mean 'stage3'"):
        collect(specimen, images, "stage33", tmp_path)
    with pytest.raises(
        errors.InvalidParameter,
        match="positions: expected at most 36, the number of inner positions of the coarsest layer, got 37",
    ):
        collect(specimen, images, LAYERS, tmp_path, positions=37)
    with pytest.raises(
        errors.InvalidParameter,
        match="positions: expected at most 1, the number of inner positions of the coarsest layer, got 2",
    ):
        collect(specimen, images, ["stage3", "output"], tmp_path, positions=2)
    with pytest.raises(errors.InvalidParameter, match="layers: expected at least one layer"):
        collect(specimen, images, [], tmp_path)


def test_layers_without_positions_and_the_output_itself(specimen: Network, images: np.ndarray, tmp_path: Path) -> None:
    found = _points(collect(specimen, images, ["output"], tmp_path))
    np.testing.assert_array_equal(found["activation.output"], found["logits"])
    # What a logit adds to itself is itself, and nothing to the others: all of them are multiplied together.
    np.testing.assert_allclose(found["attribution.output"], found["logits"], rtol=1e-5, atol=1e-5)
    assert (found["position.output"] == 0).all()


@pytest.mark.slow
def test_killed_and_run_again_the_store_is_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = textwrap.dedent("""
        import os, signal, sys
        import phosphene as ph
        import phosphene.atlas.points as collecting
        collecting.SHARD_BYTES = 1
        seen = []

        def tell(state):
            seen.append(state)
            if len(sys.argv) > 2 and len(seen) == 4:
                os.kill(os.getpid(), signal.SIGKILL)

        network = ph.load("specimen", backend="torch")
        collecting.collect(network, "photos:64:3", ["stage2", "stage3"], sys.argv[1], positions=2, batch=8, progress=tell)
    """)

    def run(*arguments: str) -> int:
        done: Any = subprocess.run([sys.executable, "-c", script, *arguments], env={**os.environ}, check=False)
        return int(done.returncode)

    killed, whole = str(tmp_path / "killed"), str(tmp_path / "whole")
    assert run(killed, "kill") == -signal.SIGKILL
    assert 0 < len(Atlas.open(killed).store.missing) < 8
    assert run(killed) == 0 and run(whole) == 0
    found, wanted = Atlas.open(killed).store, Atlas.open(whole).store
    assert found.complete and found.verify() == [] and found.manifest.shards == 8
    for name in wanted.names:
        np.testing.assert_array_equal(found.read(name), wanted.read(name))
