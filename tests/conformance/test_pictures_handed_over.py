"""Pictures of any kind and size where a call begins with them: start=, invert, dream, accentuate and comparisons of networks."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.data.crops import Crops

SIDE = 64
SEVERAL = Crops(9, seed=2, size=112).images()[:, :80]  # 80 x 112
BYTES = np.round(255 * SEVERAL).astype(np.uint8)

Make = Callable[[np.ndarray, Path], Any]


def encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def written(pixels: np.ndarray, folder: Path) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.png"
    path.write_bytes(encoded(pixels))
    return path


def fitted(pixels: np.ndarray, size: int | tuple[int, int] = SIDE) -> np.ndarray:
    """What Pillow alone makes of the central part, as floats."""
    height, width = (size, size) if isinstance(size, int) else size
    image = ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.LANCZOS)
    return np.asarray(image, np.float32) / 255


PICTURES: dict[str, Make] = {
    "path": lambda pixels, folder: written(pixels, folder),
    "path as text": lambda pixels, folder: str(written(pixels, folder)),
    "picture": lambda pixels, folder: Image.fromarray(pixels),
    "transparent picture": lambda pixels, folder: Image.fromarray(pixels).convert("RGBA"),
    "encoded": lambda pixels, folder: encoded(pixels),
}
"""Pictures, which may have any size."""

ARRAYS: dict[str, Make] = {
    "array of bytes": lambda pixels, folder: pixels,
    "tensor, channel-first": lambda pixels, folder: importlib.import_module("torch").from_numpy(
        np.moveaxis(pixels, -1, -3).astype(np.float32) / 255
    ),
    "tensor of bytes": lambda pixels, folder: importlib.import_module("torch").from_numpy(pixels.copy()),
    "array of JAX": lambda pixels, folder: importlib.import_module("jax.numpy").asarray(
        pixels.astype(np.float32) / 255
    ),
}
"""Arrays, which are used as they are."""


def made(table: dict[str, Make], kind: str, pixels: np.ndarray, folder: Path) -> Any:
    for framework in ("torch", "jax"):
        if kind.startswith("tensor" if framework == "torch" else "array of JAX"):
            pytest.importorskip(framework)
    return table[kind](pixels, folder)


ONE: dict[str, Callable[[Network, Any], np.ndarray]] = {
    "start": lambda net, given: (
        ph.render(
            net, "coins", start=given, parameterization=ph.parameterizations.pixel(), steps=1, progress=False
        ).images
    ),
    "invert": lambda net, given: ph.invert(net, given, "stage1", steps=1, progress=False).images,
    "dream": lambda net, given: (
        ph.dream(net, given, ph.objectives.layer("stage1"), size=SIDE, octaves=1, steps=1, progress=False).images
    ),
    "accentuate": lambda net, given: (
        ph.accentuate(
            net, given, ph.channel("stage1", 3), layer="stem", weights=(1.0,), steps=1, progress=False
        ).renders.images
    ),
    "attribute": lambda net, given: ph.attribute(net, given, "coins", method="gradient").raw,
    "feature_maps": lambda net, given: ph.feature_maps(net, given, "stage1", channels=[1, 2]).maps,
}
"""Calls that take one picture, and what of their result depends on all of its pixels."""


@pytest.mark.parametrize("call", ONE)
def test_one_picture_of_another_size_is_fitted(call: str, specimen: Network, tmp_path: Path) -> None:
    wanted = ONE[call](specimen, fitted(BYTES[0]))
    other = ONE[call](specimen, fitted(BYTES[1]))
    assert np.abs(wanted - other).max() > 1e-3
    for kind in PICTURES:
        found = ONE[call](specimen, made(PICTURES, kind, BYTES[0], tmp_path))
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5, err_msg=kind)


@pytest.mark.parametrize("call", ONE)
def test_one_array_of_any_framework(call: str, specimen: Network, tmp_path: Path) -> None:
    pixels = np.round(255 * fitted(BYTES[0])).astype(np.uint8)
    wanted = ONE[call](specimen, fitted(BYTES[0]))
    for kind in ARRAYS:
        found = ONE[call](specimen, made(ARRAYS, kind, pixels, tmp_path))
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5, err_msg=kind)


@pytest.mark.parametrize("call", ["start", "dream", "accentuate"])
def test_several_pictures_where_one_is_meant_are_refused_unread(call: str, specimen: Network, tmp_path: Path) -> None:
    for pixels in BYTES[:3]:
        written(pixels, tmp_path)
    (tmp_path / "9.png").write_bytes(b"no picture")
    with pytest.raises(errors.InvalidParameter, match=r"(start|image): expected (1 picture|one photograph).* got 4"):
        ONE[call](specimen, tmp_path)


def test_a_dream_and_an_accentuation_have_the_size_that_is_said(costly_specimen: Network, tmp_path: Path) -> None:
    specimen = costly_specimen
    path, picture = written(BYTES[0], tmp_path), Image.fromarray(BYTES[0])
    options: dict[str, Any] = {"octaves": 1, "steps": 1, "progress": False}
    wanted = ph.dream(specimen, SEVERAL[0], ph.objectives.layer("stage1"), **options).images
    assert wanted.shape == (1, 80, 112, 3)  # its own
    for given in (path, picture, encoded(BYTES[0])):
        found = ph.dream(specimen, given, ph.objectives.layer("stage1"), **options).images
        np.testing.assert_allclose(found, wanted, atol=0.01)  # of bytes, not of floats
    for given, size, shape in (
        (path, (48, 56), (48, 56)),
        (path, 50, (50, 50)),
        (ph.images(picture, fit="pad"), None, (SIDE, SIDE)),  # a rule is stated: the input size
        (ph.images(SEVERAL[0], fit="stretch"), (40, 60), (40, 60)),
    ):
        found = ph.dream(specimen, given, ph.objectives.layer("stage1"), size=size, **options).images
        assert found.shape == (1, *shape, 3)
    held: dict[str, Any] = {"layer": "stem", "weights": (1.0,), "steps": 1, "progress": False}
    for size, shape in ((None, (SIDE, SIDE)), ((48, 56), (48, 56))):
        changed = ph.accentuate(specimen, path, ph.channel("stage1", 3), size=size, **held)
        assert changed.photograph.shape == (*shape, 3)
    for call in (
        lambda: ph.dream(specimen, SEVERAL[0], ph.objectives.layer("stage1"), size=48, **options),
        lambda: ph.accentuate(specimen, SEVERAL[0], ph.channel("stage1", 3), size=48, **held),
    ):
        with pytest.raises(errors.InvalidImages, match=r"image: expected images of 48 x 48 pixels.*fit="):
            call()


def test_pictures_to_start_from_are_fitted_to_the_canvas_one_per_target(
    costly_specimen: Network, tmp_path: Path
) -> None:
    specimen = costly_specimen
    options: dict[str, Any] = {"size": (40, 48), "steps": 1, "parameterization": ph.parameterizations.pixel()}
    truth = np.stack([fitted(pixels, (40, 48)) for pixels in BYTES[:2]])
    wanted = ph.render(specimen, ["coins", "cat"], start=truth, progress=False, **options)
    kinds = [
        [written(pixels, tmp_path) for pixels in BYTES[:2]],
        [Image.fromarray(pixels) for pixels in BYTES[:2]],
        str(tmp_path / "*.png"),
        ph.images(BYTES[:2], fit="crop"),
        (Image.fromarray(pixels) for pixels in BYTES[:2]),
    ]
    for given in kinds:
        declared = ph.images(given, count=2) if hasattr(given, "__next__") else given
        found = ph.render(specimen, ["coins", "cat"], start=declared, progress=False, **options)
        np.testing.assert_allclose(found.images, wanted.images, atol=1e-4)
    with pytest.raises(errors.InvalidParameter, match=r"start: expected 3 pictures .* got 2"):
        ph.render(specimen, ["coins", "cat", "face"], start=kinds[0], progress=False, **options)
    with pytest.raises(errors.InvalidImages, match=r"expected .*40 x 48 pixels"):
        ph.render(specimen, "coins", start=BYTES[0], progress=False, **options)


@pytest.mark.parametrize("layer", ["stage1", "head"])
def test_activations_are_matched_as_any_array_or_a_list_of_them(layer: str, costly_specimen: Network) -> None:
    specimen = costly_specimen
    values = ph.activations(specimen, fitted(BYTES[0])[None], layer)[layer]
    options: dict[str, Any] = {"steps": 1, "progress": False}
    wanted = ph.invert(specimen, values, layer, **options).images
    kinds: list[Any] = [values[0], [values[0]], np.asarray(values.tolist(), np.float32)]
    for framework, convert in (("torch", "from_numpy"), ("jax.numpy", "asarray")):
        try:
            native = getattr(importlib.import_module(framework), convert)(values.copy())
        except ImportError:
            continue
        kinds += [native, native[0], [native[0]]]
    for given in kinds:
        np.testing.assert_allclose(ph.invert(specimen, given, layer, **options).images, wanted, atol=1e-4)


MANY: dict[str, Callable[[Network, Any], Any]] = {
    "compare": lambda net, given: ph.compare([net, net], images=given, layers=[["stage1", "stage2"]] * 2).similarity[
        0, 1
    ],
    "concept": lambda net, given: ph.concept(net, "stage1", given, fitted_all()[::-1] * 0.5, folds=2, trials=20).vector,
    "diagnose": lambda net, given: np.asarray([str(finding) for finding in ph.diagnose(net, images=given).findings]),
    "embed": lambda net, given: ph.embed(net, given, "stage1", progress=False).points,
    "factorize": lambda net, given: (
        ph.factorize(ph.activations(net, fitted_all(), "stage1"), "stage1", k=2, network=net, images=given).photographs
    ),
    "parity": lambda net, given: np.asarray(ph.parity(net, net, given, gradients=0).images["hash"]),
    "units": lambda net, given: ph.units(net, given, "stage1", top=1, progress=False).density,
}
"""Calls that take several pictures, and what of their result depends on all of their pixels."""


def fitted_all() -> np.ndarray:
    return np.stack([fitted(pixels) for pixels in BYTES])


@pytest.mark.parametrize("call", MANY)
def test_several_pictures_of_any_kind(call: str, specimen: Network, tmp_path: Path) -> None:
    wanted = MANY[call](specimen, fitted_all())
    kinds = [*PICTURES, *PICTURES][: len(BYTES)]
    mixed = [made(PICTURES, kind, pixels, tmp_path) for kind, pixels in zip(kinds, BYTES, strict=True)]
    _same(MANY[call](specimen, mixed), wanted, "pictures of all kinds")
    whole = np.round(255 * fitted_all()).astype(np.uint8)
    for kind in ("tensor, channel-first", "array of JAX"):
        _same(MANY[call](specimen, made(ARRAYS, kind, whole, tmp_path)), wanted, kind)


def _same(found: Any, wanted: Any, kind: str) -> None:
    if np.asarray(wanted).dtype.kind in "US":
        np.testing.assert_array_equal(found, wanted, err_msg=kind)
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4, err_msg=kind)


def test_networks_of_other_sizes_get_pictures_at_their_own(backend: str, load: Callable[..., Network]) -> None:
    """A picture is fitted to each network from its own pixels; an array is resized."""
    from dataclasses import replace

    from phosphene.comparison.layer_vectors import sources_for

    network = load("specimen", backend)
    small = replace(network.input, size=(40, 56))

    class Other:
        input = small

    pictures = [Image.fromarray(pixels) for pixels in BYTES]
    for given, sizes in ((pictures, ((SIDE, SIDE), (40, 56))), (fitted_all(), ((SIDE, SIDE), (SIDE, SIDE)))):
        found = sources_for(given, [network, Other()])  # type: ignore[list-item]
        assert [source.image(0).shape[:2] for source in found] == list(sizes)
