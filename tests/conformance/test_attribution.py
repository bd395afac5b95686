"""Attribution on every backend: closed forms, slow oracles, and what each method promises."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene.attribution.call import attribute
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.errors import CoverageWarning, InvalidParameter
from small_models import linear_convolution

IMAGES = Crops(4, seed=3).images()
Load = Callable[..., Network]


@pytest.fixture
def linear(backend: str) -> tuple[Network, np.ndarray]:
    """A network whose second output is ``sum(w * x)``, and its w."""
    filters = np.random.default_rng(3).standard_normal((2, 8, 8, 3)).astype(np.float32)
    return ph.wrap(linear_convolution(backend, filters), size=8), filters[1]


def _values(network: Network, images: np.ndarray, logit: int) -> np.ndarray:
    return ph.activations(network, images, "output")["output"][:, logit].astype(np.float64)


def _strongest(network: Network) -> list[int]:
    return [int(index) for index in ph.activations(network, IMAGES, "output")["output"].argmax(-1)]


def test_gradients_are_finite_differences(backend: str, load: Load) -> None:
    network = load("specimen", backend, "float64")
    images = IMAGES[:1]
    found = attribute(network, images, 3, method="gradient")
    assert found.raw.shape == images.shape
    random = np.random.default_rng(0)
    for _ in range(6):
        place = (0, *(int(random.integers(side)) for side in images.shape[1:]))
        step = np.zeros(images.shape)
        step[place] = 1e-4
        # Images are handed over as float32; the step is measured as it arrives there.
        up, down = (images + step).astype(np.float32), (images - step).astype(np.float32)
        slope = (_values(network, up, 3) - _values(network, down, 3)) / (up.astype(np.float64) - down)[place]
        assert found.raw[place] == pytest.approx(float(slope[0]), rel=2e-3, abs=2e-4 * np.abs(found.raw).max())
    # The single largest pixel would leave the others near zero.
    strengths = np.abs(found.raw[0]).max(-1)
    np.testing.assert_allclose(found.maps[0], np.minimum(strengths / np.percentile(strengths, 99.5), 1), rtol=1e-5)


def test_on_a_linear_network_everything_is_its_weights(linear: tuple[Network, np.ndarray]) -> None:
    network, weights = linear
    images = np.random.default_rng(1).random((3, 8, 8, 3)).astype(np.float32)
    target = ph.channel("conv", 1)
    dot = (images.astype(np.float64) * weights).sum(axis=(1, 2, 3))
    for method in ("gradient", "smoothgrad", "guided_backprop", "deconvnet"):
        plain = method in ("gradient", "smoothgrad")
        with nullcontext() if plain else pytest.warns(CoverageWarning, match="the plain gradient"):
            found = attribute(network, images, target, method=method)
        np.testing.assert_allclose(found.raw, np.broadcast_to(weights, found.raw.shape), atol=1e-5)
        np.testing.assert_allclose(found.values, dot, rtol=1e-4)
    for method in ("gradient_x_input", "integrated_gradients"):
        np.testing.assert_allclose(attribute(network, images, target, method=method).raw, weights * images, atol=1e-5)
    away = attribute(network, images, target, method="integrated_gradients", baseline=0.25)
    np.testing.assert_allclose(away.raw, weights * (images - 0.25), atol=1e-5)
    windows = attribute(network, images, target, method="occlusion", window=2, baseline=0.0)
    assert windows.raw.shape == (3, 4, 4)
    np.testing.assert_allclose(windows.raw.sum(axis=(1, 2)), dot, rtol=1e-4)
    parts = (images * weights).sum(-1).reshape(3, 4, 2, 4, 2).sum(axis=(2, 4))
    np.testing.assert_allclose(windows.raw, parts, atol=1e-4)
    blurred = images.mean(axis=(0, 1), keepdims=True)[0].repeat(8, axis=0)
    behind = attribute(network, images, target, method="occlusion", window=2, baseline=blurred)
    parts = ((images - blurred) * weights).sum(-1).reshape(3, 4, 2, 4, 2).sum(axis=(2, 4))
    np.testing.assert_allclose(behind.raw, parts, atol=1e-4)
    with pytest.raises(InvalidParameter, match="baseline"):
        attribute(network, images, target, method="occlusion", window=2, baseline=blurred[:4])


def test_windows_that_do_not_fit_cover_the_edge_too(linear: tuple[Network, np.ndarray]) -> None:
    network, weights = linear
    image = np.random.default_rng(1).random((1, 8, 8, 3)).astype(np.float32)
    found = attribute(network, image, ph.channel("conv", 1), method="occlusion", window=(3, 5), stride=3, baseline=0.0)
    assert found.raw.shape == (1, 3, 2)
    wanted = (image * weights).sum(-1)[0, 6:8, 3:8].sum()
    assert found.raw[0, 2, 1] == pytest.approx(float(wanted), abs=1e-4)
    assert np.isfinite(found.maps).all() and found.maps.shape == (1, 8, 8)


def test_grad_cam_is_cam_where_a_mean_and_one_linear_layer_follow(specimen: Network) -> None:
    from phosphene import specimen as embedded

    weight = embedded.load("specimen")[1]["head.weight"][(specimen.classes or ()).index("coins")]
    activation = ph.activations(specimen, IMAGES, "stage3")["stage3"].astype(np.float64)
    cam = (activation * weight).sum(-1) / (activation.shape[1] * activation.shape[2])
    for method in ("gradcam", "hirescam"):
        found = attribute(specimen, IMAGES, "coins", layer="stage3", method=method)
        np.testing.assert_allclose(found.raw, cam, atol=1e-5 * np.abs(cam).max())


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "hirescam", "layercam"])
def test_class_activation_maps_are_their_formulas(specimen: Network, method: str) -> None:
    images, layer = IMAGES[:2], "stage2"
    found = attribute(specimen, images, "coins", method=method, layer=layer)
    a = ph.activations(specimen, images, layer)[layer].astype(np.float64)
    g = _layer_gradient(specimen, images, layer, "coins")
    if method == "gradcam":
        wanted = (g.mean((1, 2), keepdims=True) * a).sum(-1)
    elif method == "hirescam":
        wanted = (g * a).sum(-1)
    elif method == "layercam":
        wanted = (np.maximum(g, 0) * a).sum(-1)
    else:
        share = np.where(g != 0, g**2 / (2 * g**2 + a.sum((1, 2), keepdims=True) * g**3 + 1e-6), 0)
        wanted = ((share * np.maximum(g, 0)).sum((1, 2), keepdims=True) * a).sum(-1)
    np.testing.assert_allclose(found.raw, wanted, atol=2e-5 * np.abs(wanted).max())
    assert found.maps.shape == (2, 64, 64) and found.maps.min() >= 0 and found.maps.max() == pytest.approx(1)


def _layer_gradient(network: Network, images: np.ndarray, layer: str, target: str) -> np.ndarray:
    """The gradient of a layer's activation, by adding to the layer; nothing of the attribution's own code."""
    from phosphene.backend import native

    backend, index = network.backend, (network.classes or ()).index(target)
    shape = network.shapes((images.shape[1], images.shape[2]))[layer]
    with network.scope():

        def f(extra: Any) -> Any:
            read = network.forward(native(network, images), ["output"], edit={layer: lambda xp, x: x + extra})
            return backend.xp.sum(read["output"][:, index]), ()

        return backend.to_numpy(backend.grad(f)(native(network, np.zeros((len(images), *shape))))[0]).astype(np.float64)


def test_guided_gradients_are_positive_on_their_way(specimen: Network) -> None:
    plain = attribute(specimen, IMAGES, "coins", method="gradient").raw
    guided, deconv = (attribute(specimen, IMAGES, "coins", method=name) for name in ("guided_backprop", "deconvnet"))
    assert guided.coverage == "guided: 7 of 7 nonlinearities"
    assert np.abs(guided.raw - plain).max() > 1e-3 * np.abs(plain).max()
    assert np.abs(guided.raw - deconv.raw).max() > 1e-3 * np.abs(deconv.raw).max()
    where = attribute(specimen, IMAGES, "coins", method="guided_gradcam", layer="stage3")
    zero = attribute(specimen, IMAGES, "coins", layer="stage3").maps == 0
    assert zero.any() and np.abs(where.raw[zero]).max() == 0


def test_integrated_gradients_add_up(specimen: Network) -> None:
    found = attribute(specimen, IMAGES, method="integrated_gradients")
    black = ph.activations(specimen, np.zeros_like(IMAGES), "output")["output"]
    gained = found.values - black[np.arange(len(IMAGES)), _strongest(specimen)]
    total = found.raw.reshape(len(IMAGES), -1).sum(1)
    np.testing.assert_allclose(total - gained, found.scores["completeness"], atol=1e-4)
    assert (np.abs(found.scores["completeness"]) <= 0.01 * np.abs(gained)).all()


def test_a_target_for_each_image_and_any_activation(specimen: Network) -> None:
    targets: list[Any] = ["coins", 3, ph.channel("stage2", 4), ph.neuron("stage1", 5, (3, 4))]
    together = attribute(specimen, IMAGES, targets, method="gradient")
    for index, target in enumerate(targets):
        alone = attribute(specimen, IMAGES[index], target, method="gradient", batch=1)
        np.testing.assert_allclose(together.raw[index], alone.raw[0], atol=1e-5 * np.abs(alone.raw).max())
        assert together.labels[index] == alone.labels[0]
        assert together.values[index] == pytest.approx(alone.values[0], rel=1e-4)
    own = attribute(specimen, IMAGES, method="gradcam", layer="stage3")
    assert own.labels == tuple((specimen.classes or ())[index] for index in _strongest(specimen))


def test_the_last_layer_with_positions_is_taken_when_none_is_named(specimen: Network) -> None:
    assert attribute(specimen, IMAGES[:1], "coins").layer == "stage3"
    assert attribute(specimen, IMAGES[:1], ph.channel("stage2", 1)).layer == "stage2.project_norm"


def test_a_map_that_means_something_changes_with_the_weights(specimen: Network) -> None:
    found = attribute(specimen, IMAGES, "coins", layer="stage3", sanity=True)
    assert list(found.sanity)[-1].startswith("stem") and len(found.sanity) == 6
    assert np.mean([np.abs(rows).mean() for rows in found.sanity.values()]) < 0.6
    edges = np.abs(np.diff(IMAGES.mean(-1), axis=1, append=0.5))
    from phosphene.attribution.randomization import rank_correlation

    np.testing.assert_allclose(rank_correlation(edges, 3 * edges), 1.0)


def test_pixels_that_matter_matter_first(specimen: Network) -> None:
    found = attribute(specimen, IMAGES, method="gradcam", layer="stage2", faithfulness=True)
    deletion, insertion = found.curves["deletion"], found.curves["insertion"]
    assert deletion.shape == insertion.shape == (17, len(IMAGES))
    for one, other in ((deletion[0], found.values), (insertion[-1], found.values), (deletion[-1], insertion[0])):
        np.testing.assert_allclose(one, other, rtol=1e-4)
    assert (found.scores["insertion area"] > found.scores["deletion area"]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"method": "grad-cam"}, "method: expected .*Did you mean 'gradcam'"),
        ({"layer": "output"}, "layer: expected a layer with positions for method='gradcam'"),
        ({"target": "coin"}, "no class 'coin'. Did you mean 'coins'"),
        ({"target": 18}, "no class 18: the network has 18 classes"),
        ({"target": [1, 2, 3]}, r"target: expected 4 items \(one per image\), got 3"),
        ({"method": "gradient", "steps": 3}, "options: expected no option with method='gradient', got 'steps'"),
        ({"method": "integrated_gradients", "steps": 1}, "steps: expected an integer of at least 2"),
        ({"method": "integrated_gradients", "baseline": 2.0}, r"baseline: expected values in \[0, 1\]"),
        (
            {"method": "occlusion", "window": 65},
            "window: expected 1 to 64 pixels, or .* at most 64 x 64, got 65",
        ),
        (
            {"method": "occlusion", "window": 8, "stride": 9},
            "stride: expected 1 to 8 pixels, or .* at most 8 x 8, got 9",
        ),
        ({"method": "smoothgrad", "deviation": -1.0}, "deviation: expected a number of at least 0"),
        ({"target": ph.channel("stage1", 2), "layer": "stage2"}, "layer: expected a layer that comes before 'stage1'"),
    ],
)
def test_what_does_not_fit_is_said(specimen: Network, call: dict[str, Any], message: str) -> None:
    given = {"target": "coins", **call}
    with pytest.raises(ph.PhospheneError, match=message):
        attribute(specimen, IMAGES, given.pop("target"), **given)
