"""Factorisation: planted directions are found, from memory as from disk, and what is found is a target on every backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.features import factorize
from phosphene.features.factorization import _pursuit
from phosphene.features.result import Features

pytest.importorskip("skimage"), pytest.importorskip("sklearn")

IMAGES = Crops(24, seed=3).images()
Array = NDArray[np.float64]


def unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def closest(found: Features, planted: Array) -> Array:
    """The cosine of each planted direction to its own nearest that was found, one to one."""
    cosines = unit(planted) @ found.vectors.T
    assert len(set(cosines.argmax(axis=1))) == len(planted)
    return cosines.max(axis=1)


def planted_parts(rng: np.random.Generator) -> tuple[Array, Array]:
    parts = rng.gamma(0.3, size=(4, 20))
    codes = rng.gamma(1.0, size=(600, 4)) * (rng.random((600, 4)) < 0.4)
    return (codes @ parts).reshape(30, 4, 5, 20), parts


def test_planted_parts_are_found_by_nmf() -> None:
    rows, parts = planted_parts(np.random.default_rng(0))
    found = factorize(rows, "planted", 4)
    assert closest(found, parts).min() > 0.95
    assert found.explained > 0.99 and found.vectors.min() >= 0


def test_planted_clusters_are_found_by_kmeans() -> None:
    rng = np.random.default_rng(1)
    centres = 5 * rng.standard_normal((6, 16))
    kinds = rng.permutation(np.repeat(np.arange(6), [50, 100, 150, 200, 250, 250]))
    found = factorize(centres[kinds] + 0.3 * rng.standard_normal((1000, 16)), "planted", 6, method="kmeans")
    assert closest(found, centres).min() > 0.99
    assert found.explained > 0.95
    shares = np.bincount(kinds) * np.linalg.norm(centres, axis=1)
    np.testing.assert_allclose(found.strength, np.sort(shares / shares.sum())[::-1], rtol=0.05)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_planted_sparse_dictionary_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    atoms = unit(rng.standard_normal((24, 20)))  # more than channels
    codes = np.zeros((3000, 24))
    for row in codes:
        row[rng.permutation(24)[:2]] = 1 + rng.random(2)
    found = factorize(codes @ atoms, "planted", 24, method="dictionary", active=2, seed=seed)
    assert closest(found, atoms).min() > 0.95
    assert found.explained > 0.98


def test_equal_seeds_give_equal_directions_and_few_samples_are_drawn_by_them() -> None:
    rows, _ = planted_parts(np.random.default_rng(0))
    for method in ("nmf", "kmeans", "dictionary"):
        given = {"method": method, "active": 2, "samples": 200}
        first, again = (factorize(rows, "planted", 4, seed=1, **given) for _ in range(2))  # type: ignore[arg-type]
        np.testing.assert_array_equal(first.vectors, again.vectors)
        other = factorize(rows, "planted", 4, seed=2, **given)  # type: ignore[arg-type]
        assert not np.array_equal(first.vectors, other.vectors)
        np.testing.assert_allclose(np.linalg.norm(first.vectors, axis=1), 1)
        assert first.strength.sum() == pytest.approx(1) and np.all(np.diff(first.strength) <= 0)
        assert first.settings["positions"] == 200 and first.settings["of"] == 600


def test_a_store_gives_what_an_array_gives(specimen: Network, tmp_path: Path) -> None:
    read = ph.activations(specimen, IMAGES, ["stage1", "stage2"])
    kept = ph.activations(specimen, IMAGES, ["stage1", "stage2"], out=tmp_path / "store", batch=7)
    for samples in (500, 50_000):
        options = {"method": "kmeans", "samples": samples}
        whole = factorize(read["stage2"], "stage2", 5, **options)  # type: ignore[arg-type]
        named = factorize(read, "stage2", 5, **options)  # type: ignore[arg-type]
        stored = factorize(kept, "stage2", 5, **options)  # type: ignore[arg-type]
        np.testing.assert_array_equal(whole.vectors, named.vectors)
        np.testing.assert_allclose(whole.vectors, stored.vectors, atol=1e-4)
        assert stored.explained == pytest.approx(whole.explained, abs=1e-4)


def test_what_is_found_renders_and_is_explained(specimen: Network) -> None:
    found = factorize(ph.activations(specimen, IMAGES, "stage2"), "stage2", 4)
    renders = ph.render(specimen, found.objectives()[:2], size=32, steps=3)
    assert renders.labels == ("stage2 / nmf 0", "stage2 / nmf 1") and np.all(np.isfinite(renders.values))
    maps = ph.attribute(specimen, IMAGES[:3], target=found.objective(0), method="hirescam")
    assert maps.maps.shape == (3, 64, 64) and np.any(maps.maps)
    # What the target is worth on an image is the mean activation along the direction.
    read = ph.activations(specimen, IMAGES[:3], "stage2")["stage2"].mean((1, 2))
    np.testing.assert_allclose(maps.values, read @ found[0], rtol=1e-4)


def test_scaled_channels_are_told_apart() -> None:
    """Three channels that are always strong hide five parts of the others, until each channel counts alike."""
    rng = np.random.default_rng(0)
    parts = np.repeat(np.eye(5), 4, axis=1)
    codes = rng.random((800, 5)) * (rng.random((800, 5)) < 0.3)
    strong = 50 + 20 * rng.random((800, 3))
    rows = np.concatenate([strong, codes @ parts + 0.01 * rng.random((800, 20))], axis=1).astype(np.float32)

    wanted = unit(np.concatenate([np.zeros((5, 3)), parts], axis=1))

    def recovered(found: Features) -> int:
        return int((np.abs(wanted @ found.vectors.T).max(axis=1) > 0.9).sum())

    assert recovered(factorize(rows, "planted", 6)) <= 3
    assert recovered(factorize(rows, "planted", 6, scaling="channel")) == 5
    centred = factorize(rows, "planted", 8, scaling="standard", method="dictionary")
    assert np.abs(centred.vectors[:, :3]).max() < 0.1 and centred.settings["scaling"] == "standard"
    with pytest.raises(errors.InvalidParameter, match="scaling: expected 'none' or 'channel' for method='nmf'"):
        factorize(rows, "planted", 8, scaling="standard")
    with pytest.raises(errors.InvalidParameter, match="scaling: expected"):
        factorize(rows, "planted", 8, scaling="chanel")


def test_the_images_of_a_direction_are_shown(specimen: Network, tmp_path: Path) -> None:
    read = ph.activations(specimen, IMAGES, "stage2")["stage2"]
    found = factorize(read, "stage2", 4, images=IMAGES)
    peaks = (read.reshape(-1, 64) @ np.linalg.pinv(found.vectors)).reshape(len(read), -1, 4).max(axis=1)
    for index in range(4):
        assert found.top[index, 0] in np.argsort(-peaks[:, index])[:4]
        np.testing.assert_array_equal(found.photographs[index, 0], IMAGES[found.top[index, 0]])
    assert len(found.plot().axes[2].images) == (found.top >= 0).sum()
    np.testing.assert_array_equal(Features.load(found.save(tmp_path / "f.npz")).photographs, found.photographs)
    # A store may lack images that could not be read.
    stored = factorize(ph.activations(specimen, IMAGES, "stage2", out=tmp_path / "s"), "stage2", 4, images=IMAGES)
    np.testing.assert_array_equal(stored.top, found.top)
    with pytest.raises(errors.InvalidParameter, match=r"images: expected \d+ items \(one per row"):
        factorize(read, "stage2", 4, images=IMAGES[:-1])


def test_layers_that_fit_are_named(specimen: Network) -> None:
    read = ph.activations(specimen, IMAGES[:6], ["stage2.norm2", "stage3"])
    with pytest.raises(errors.InvalidParameter, match="Of these activations, 'stage3' fits"):
        factorize(read, "stage2.norm2", 3)
    for options in ({}, {"images": IMAGES[:6]}):
        with pytest.raises(errors.InvalidParameter, match=r"nearest to 'stage2\.norm2': 'stage2'"):
            factorize(read["stage2.norm2"], "stage2.norm2", 3, network=specimen, **options)  # type: ignore[arg-type]


def test_a_table_and_a_file(tmp_path: Path) -> None:
    rows, _ = planted_parts(np.random.default_rng(0))
    found = factorize(rows, "planted", 4)
    assert len(found) == 4 and repr(found).count("\n") == 5
    path = found.save(tmp_path / "f.npz")
    loaded = Features.load(path)
    np.testing.assert_array_equal(loaded.vectors, found.vectors)
    assert repr(loaded) == repr(found) and loaded.settings == found.settings and loaded.explained == found.explained
    with pytest.raises(
        errors.InvalidParameter, match=r"path: expected a name that ends in \.npz, \.png, \.svg or \.pdf"
    ):
        found.save(tmp_path / "f.txt")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(errors.CorruptFile, match="damaged"):
        Features.load(path)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(errors.CorruptFile, match="cannot be read as Features: it was not written by phosphene"):
        Features.load(tmp_path / "other.npz")


def test_a_figure_shows_the_directions_and_their_largest_channels(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((30, 60))
    vectors[0, 41] = 9.0
    found = Features("stage3", "nmf", "", vectors, np.full(30, 1 / 30), 0.5)
    bars, map_of_channels = found.plot().axes[:2]
    assert len(bars.patches) == 24 and bars.get_ylabel() == "direction, 24 of 30"
    assert map_of_channels.images[0].get_array().shape == (24, 40)
    shown = [int(label.get_text()) for label in map_of_channels.get_xticklabels()]
    assert len(shown) == 40 and 41 in shown and shown == sorted(shown)
    np.testing.assert_allclose(map_of_channels.images[0].get_array(), vectors[:24, shown])
    assert found.save(tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    few = Features("stage3", "nmf", "", np.eye(2, 3), np.asarray([0.7, 0.3]), 0.5).plot().axes
    assert few[0].get_ylabel() == "direction" and few[1].images[0].get_array().shape == (2, 3)


def test_a_centre_in_the_origin_is_no_direction() -> None:
    rows = np.concatenate([np.zeros((50, 6)), np.tile(np.arange(6.0), (50, 1))])
    found = factorize(rows, "planted", 2, method="kmeans")
    assert found.strength.tolist() == [1.0, 0.0] and not found[1].any()
    assert len(found.objectives()) == 1
    with pytest.raises(errors.InvalidParameter, match="not zero"):
        found.objective(1)


def test_what_cannot_be() -> None:
    rows = np.abs(np.random.default_rng(0).standard_normal((30, 8)))
    for options, message in (
        ({"k": 0}, "k: expected an integer of at least 1"),
        ({"k": 9}, "k: expected at most 8.*'dictionary' may"),
        ({"k": 31, "method": "kmeans"}, "k: expected at most 30"),
        ({"k": 31, "method": "dictionary"}, "k: expected at most 30"),
        ({"k": 4, "method": "dictionary"}, "active: expected at most k = 4"),
        ({"k": 4, "method": "dictionary", "active": 0}, "active: expected an integer of at least 1"),
        ({"k": 4, "method": "kmean"}, "Did you mean 'kmeans'"),
        ({"k": 4, "samples": 0}, "samples: expected"),
    ):
        with pytest.raises(errors.InvalidParameter, match=message):
            factorize(rows, "planted", **options)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidParameter, match=r"method: expected 'kmeans' or 'dictionary'.*after a ReLU"):
        factorize(-rows, "planted", 2)
    with pytest.raises(errors.InvalidParameter, match=r"layer: expected 'stage1', got 'stage2'.*'stage1'"):
        factorize({"stage1": rows}, "stage2", 2)
    for bad, message in (
        (np.zeros((5, 4)), "all are zero"),
        (np.full((5, 4), np.nan), "NaN"),
        (np.zeros((0, 4)), "at least one image"),
        (np.zeros(4), r"activations \(N, ..., C\)"),
        (np.array([["a"]]), "numbers"),
    ):
        with pytest.raises(errors.InvalidParameter, match=message):
            factorize(bad, "planted", 1, method="kmeans")


def test_the_pursuit_is_that_of_scikit_learn() -> None:
    from sklearn.decomposition import sparse_encode

    rng = np.random.default_rng(0)
    atoms, rows = unit(rng.standard_normal((30, 20))), rng.standard_normal((3000, 20)).astype(np.float32)
    wanted = sparse_encode(rows.astype(np.float64), atoms, algorithm="omp", n_nonzero_coefs=4)
    np.testing.assert_allclose(_pursuit(rows, atoms, 4), wanted, atol=1e-6)
    # Doubles and empty rows do not stop it.
    doubled, empty = np.concatenate([atoms[:3], atoms[:3]]), np.concatenate([atoms[:1], np.zeros((1, 20))])
    codes = _pursuit(empty.astype(np.float32), doubled, 6)
    np.testing.assert_allclose(codes @ doubled, empty, atol=1e-6)
