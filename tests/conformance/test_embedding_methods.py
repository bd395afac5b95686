"""Every way to lay images out, in two and three dimensions: seeded, judged, and honest about what is not installed."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.embedding.call import embed
from phosphene.embedding.result import Embedding

CROPS = Crops(90, seed=6)
PACKAGES = {"pca": "sklearn", "tsne": "sklearn", "umap": "umap"}

# UMAP compiles itself when it is first imported, for many seconds.
METHODS = ["pca", "tsne", pytest.param("umap", marks=pytest.mark.slow)]


def made(network: Network, method: str, dimensions: int, seed: int = 3, **options: Any) -> Embedding:
    pytest.importorskip("sklearn"), pytest.importorskip(PACKAGES[method])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="umap|sklearn|numba")
        return embed(network, CROPS, "stage3", method=method, dimensions=dimensions, seed=seed, **options)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_points(load: Any, method: str, dimensions: int) -> None:
    network = load("specimen", "torch")
    first, again, other = (made(network, method, dimensions, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.points, again.points)
    assert first.points.shape == (90, dimensions) and np.isfinite(first.points).all()
    # t-SNE begins with principal components, so that it has less left to chance than UMAP.
    assert (method == "umap") <= (not np.array_equal(first.points, other.points))
    assert len(first.variance) == (dimensions if method == "pca" else 0)


@pytest.mark.parametrize("method", METHODS)
def test_trust_is_that_of_the_neighbours(specimen: Network, method: str) -> None:
    found = made(specimen, method, 2)
    vectors = ph.activations(specimen, CROPS.images(), "stage3")["stage3"].mean((1, 2)).astype(np.float64)
    assert found.trustworthiness == pytest.approx(_trust(vectors, found.points, found.neighbours), abs=2e-3)
    assert found.trustworthiness > 0.75
    shuffled = np.random.default_rng(0).permutation(found.points)
    assert _trust(vectors, shuffled, found.neighbours) < 0.6


def _trust(vectors: np.ndarray, points: np.ndarray, neighbours: int) -> float:
    """Venna and Kaski 2001, equation 1, point by point."""
    count, worst = len(vectors), 0.0
    for place in range(count):
        far = np.linalg.norm(vectors - vectors[place], axis=1)
        near = np.linalg.norm(points.astype(np.float64) - points[place], axis=1)
        far[place] = near[place] = -1
        rank = np.argsort(np.argsort(far))
        intruders = np.argsort(near)[1 : neighbours + 1]
        worst += np.maximum(rank[intruders] - neighbours, 0).sum()
    return float(1 - 2 * worst / (count * neighbours * (2 * count - 3 * neighbours - 1)))


@pytest.mark.parametrize("method", METHODS[1:])
def test_images_of_a_class_lie_together(specimen: Network, method: str) -> None:
    points, labels = made(specimen, method, 2).points, CROPS.labels
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(1)] == labels).mean() > 0.7


@pytest.mark.parametrize(
    ("method", "absent", "message"),
    [
        ("umap", "umap", r"umap-learn is not installed. Install it with: pip install 'phosphene\[umap\]'"),
        (
            "tsne",
            "sklearn.manifold",
            r"scikit-learn is not installed. Install it with: pip install 'phosphene\[embed\]'",
        ),
        ("pca", "sklearn.decomposition", r"pip install 'phosphene\[embed\]'"),
    ],
)
def test_a_package_that_is_not_there_is_named(
    load: Any, monkeypatch: pytest.MonkeyPatch, method: str, absent: str, message: str
) -> None:
    importlib.import_module("sklearn")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(errors.MissingDependency, match=message):
        embed(load("specimen", "torch"), CROPS, "stage3", method=method)


def test_too_few_images_make_no_picture(load: Any) -> None:
    for method in PACKAGES:
        with pytest.raises(errors.InvalidParameter, match="images: expected at least 6 images for 3 dimensions, got 4"):
            embed(load("specimen", "torch"), Crops(4), "stage3", method=method, dimensions=3)
