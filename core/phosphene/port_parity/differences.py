"""Differences between two networks: of activations, of each layer given the other network's activations, and of gradients.

Only running sums are kept: each batch of activations is compared on the host in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import filled
from phosphene.backend import Network, native
from phosphene.draws import generator
from phosphene.extraction.call import Reading, read_layers
from phosphene.port_parity.layer_pairs import Pair, form_of
from phosphene.types import Array, Edit, Floats, Namespace, Tree

__all__ = [
    "Difference",
    "Own",
    "Slope",
    "batch_size",
    "compare",
    "compare_gradients",
    "compare_own",
    "gradient_floor",
    "sketch",
]

MEMORY = 512 * 2**20
"""Bytes of activations per batch, of both networks together."""
MOST_IMAGES = 32
SKETCH_IMAGES, SKETCH_VALUES = 4, 1024
"""Numbers of images, and of values per image, over which layers without a common path are correlated."""
ROUNDING = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-8, "float16": 2.0**-11}
DRAWS = 4
"""Number of noise samples of that size, for which a network's gradients are compared with those without noise."""


@dataclass
class Difference:
    """Running comparison of two activations in float64.

    Attributes
    ----------
    largest : float
        Largest absolute difference; infinite if only one of two values is finite.
    scale : float
        Largest absolute value of the first activation.
    off, total : float
        Sum of absolute differences, and of absolute values of the first activation.
    dot, square_a, square_b : float
        Dot product and squared norms.
    nonfinite_a, nonfinite_b : int
        Number of values that are NaN or infinite. Equal ones are ignored in all other attributes.
    compared : int
        Number of values that are finite in both.
    """

    largest: float = 0.0
    scale: float = 0.0
    off: float = 0.0
    total: float = 0.0
    dot: float = 0.0
    square_a: float = 0.0
    square_b: float = 0.0
    nonfinite_a: int = 0
    nonfinite_b: int = 0
    compared: int = 0

    def add(self, a: NDArray[np.floating], b: NDArray[np.floating]) -> None:
        """Add two arrays; the difference is infinite if their sizes differ."""
        if a.size != b.size:
            self.largest = np.inf
            return
        one, other = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
        finite_a, finite_b = np.isfinite(one), np.isfinite(other)
        both = finite_a & finite_b
        if not both.all():
            self.nonfinite_a += int((~finite_a).sum())
            self.nonfinite_b += int((~finite_b).sum())
            same = both | (one == other) | (np.isnan(one) & np.isnan(other))
            self.largest = self.largest if same.all() else np.inf
            one, other = one[both], other[both]
        if not one.size:
            return
        off = np.abs(one - other)
        self.largest = max(self.largest, float(off.max()))
        self.scale = max(self.scale, float(np.abs(one).max()))
        self.off += float(off.sum())
        self.total += float(np.abs(one).sum())
        self.dot += float(one @ other)
        self.square_a += float(one @ one)
        self.square_b += float(other @ other)
        self.compared += one.size

    @property
    def relative(self) -> float:
        """Largest difference divided by the largest value of the first; NaN if no value is finite in both."""
        if self.largest == np.inf:
            return np.inf
        return _ratio(self.largest, self.scale) if self.compared else np.nan

    @property
    def mean(self) -> float:
        """Mean absolute difference divided by the mean absolute value of the first."""
        return _ratio(self.off, self.total) if self.compared else np.nan

    @property
    def cosine(self) -> float:
        """Cosine between the two as vectors; 1 if both are zero everywhere."""
        if not self.compared:
            return np.nan
        if self.square_a == self.square_b == 0:
            return 1.0
        norm = np.sqrt(self.square_a) * np.sqrt(self.square_b)
        return float(np.clip(self.dot / norm, -1.0, 1.0)) if norm > 0 else 0.0


@dataclass(frozen=True)
class Own:
    """``(weights, images, given) -> activations`` for `Backend.run`: each layer computed from given activations.

    The batch is duplicated. In the second half, every layer's activation is replaced by the given one, so that later layers see
    the other network's activations. In the first half, it is replaced by what the second half computed. So one pass separates the
    differences that a layer causes from those of its inputs, for all layers at once.
    """

    network: Network
    layers: tuple[str, ...]

    def __call__(self, weights: Tree, images: Array, given: Mapping[str, Array]) -> dict[str, Array]:
        twice = _as_taken(self.network, self.network.backend.xp.concat([images, images], axis=0))
        edit = {path: _handed_on(given[path]) for path in self.layers}
        read = self.network.forward(twice, self.layers, weights=weights, edit=edit)
        return {path: value[: value.shape[0] // 2] for path, value in read.items()}


@dataclass(frozen=True)
class Slope:
    """``(weights, images, chosen) -> gradient (N, H, W, C)`` of the sum over `layers` of `chosen` times the mean square."""

    network: Network
    layers: tuple[str, ...]

    def __call__(self, weights: Tree, images: Array, chosen: Array) -> Array:
        xp = self.network.backend.xp

        def objective(x: Array) -> tuple[Array, Tree]:
            read = self.network.forward(_as_taken(self.network, x), self.layers, weights=weights)
            total: Any = 0.0
            for index, path in enumerate(self.layers):
                rows = xp.reshape(xp.astype(read[path], chosen.dtype), (images.shape[0], -1))
                total = total + chosen[index] * xp.sum(xp.mean(rows * rows, axis=1))
            return total, ()

        return self.network.backend.grad(objective)(images)[0]


def batch_size(a: Network, b: Network, pairs: Sequence[Pair]) -> int:
    """Return the number of images per batch such that the activations of both networks fit `MEMORY`."""
    # `Own` reads twice as many activations of b, in addition to those that it is given.
    values = sum(4 * int(np.prod(a.layers[pair.a].shape)) for pair in pairs)
    wide = 8 if "float64" in (a.dtype, b.dtype) else 4
    return max(1, min(MOST_IMAGES, MEMORY // max(1, wide * values)))


def sketch(network: Network, images: NDArray[np.float32], paths: Sequence[str]) -> dict[str, Floats]:
    """Return a few values of each layer for the first few images, at the same indices for all layers of one form."""
    found: dict[str, list[Floats]] = {path: [] for path in paths}
    for image in images[:SKETCH_IMAGES]:
        read = read_layers(network, image[None], tuple(paths), 1) if paths else {}
        for path, value in read.items():
            form = form_of(network.layers[path])
            places = generator(0, "parity", repr(form)).integers(0, int(np.prod(form)), SKETCH_VALUES)
            found[path].append(value.ravel()[places])
    return {path: np.concatenate(rows) for path, rows in found.items()}


def compare(
    a: Network, b: Network, pairs: Sequence[Pair], images: NDArray[np.float32], batch: int, tell: Callable[[int], bool]
) -> tuple[list[Difference], int]:
    """Compare the activations of both networks on all images.

    Parameters
    ----------
    a, b : Network
    pairs : sequence of Pair
    images : (N, H, W, C)
    batch : int
        Images per batch.
    tell : callable
        Called with the number of images after each batch; stops if it returns False.

    Returns
    -------
    (list of Difference, int)
        One difference per pair, and the number of images compared.
    """
    differences = [Difference() for _ in pairs]
    weights_a, weights_b = _weights(a), _weights(b)
    done = 0
    for rows, count in _batches(images, batch):
        read_a = _read(a, [pair.a for pair in pairs], weights_a, rows)
        read_b = _read(b, [pair.b for pair in pairs], weights_b, rows)
        _take_in(differences, pairs, read_a, read_b, count / batch)
        done += count
        if not tell(count):
            break
    return differences, done


def compare_own(
    a: Network, b: Network, pairs: Sequence[Pair], images: NDArray[np.float32], batch: int, tell: Callable[[int], bool]
) -> list[Difference]:
    """Compare each layer of `b`, computed from the activations of `a`, with that of `a`; arguments as in `compare`."""
    differences = [Difference() for _ in pairs]
    weights_a, weights_b = _weights(a), _weights(b)
    program = Own(b, tuple(pair.b for pair in pairs))
    for rows, count in _batches(images, batch):
        read_a = _read(a, [pair.a for pair in pairs], weights_a, rows)
        given = {pair.b: read_a[pair.a].reshape(-1, *b.layers[pair.b].shape) for pair in pairs}
        with b.scope():
            read = b.backend.run(program, weights_b, native(b, rows), native(b, given))
            read_b = {path: b.backend.to_numpy(value) for path, value in read.items()}
        _take_in(differences, pairs, read_a, read_b, count / batch)
        if not tell(count):
            break
    return differences


def compare_gradients(
    a: Network, b: Network, pairs: Sequence[Pair], images: NDArray[np.float32], tell: Callable[[int], bool]
) -> list[Difference]:
    """Compare the gradients of the mean square of each pair's activations with respect to the images."""
    differences = []
    of_a, of_b = _Gradients(a, [pair.a for pair in pairs]), _Gradients(b, [pair.b for pair in pairs])
    for index in range(len(pairs)):
        differences.append(Difference())
        differences[-1].add(of_a(index, images), of_b(index, images))
        if not tell(len(images)):
            break
    return differences


def gradient_floor(a: Network, b: Network, pairs: Sequence[Pair], images: NDArray[np.float32]) -> list[float]:
    """Return the relative change of the gradients of `a` under noise of the size of rounding errors; one number per pair.

    Whether a rectifier whose input is zero up to rounding, or a maximum of equal values, passes a gradient depends on rounding.
    Two ports cannot agree better than one network agrees with itself.
    """
    moved = _Gradients(a, [pair.a for pair in pairs])
    coarse = max(ROUNDING.get(network.dtype, ROUNDING["float32"]) for network in (a, b))
    floors = []
    for index in range(len(pairs)):
        still, largest = moved(index, images), 0.0
        for draw in range(DRAWS):
            noise = generator(draw, "parity", "rounding").uniform(-4.0 * coarse, 4.0 * coarse, images.shape)
            difference = Difference()
            difference.add(still, moved(index, images + noise))
            largest = max(largest, difference.relative)
        floors.append(largest)
    return floors


class _Gradients:
    """``(index, images) -> gradient`` of the layer with that index, all by one program that takes the index as an argument."""

    def __init__(self, network: Network, paths: Sequence[str]) -> None:
        self._network, self._slope, self._weights = network, Slope(network, tuple(paths)), _weights(network)
        self._chosen = np.eye(len(paths), dtype=np.float32)

    def __call__(self, index: int, images: NDArray[np.floating]) -> NDArray[np.floating]:
        network = self._network
        with network.scope():
            inputs = native(network, images), native(network, self._chosen[index])
            return network.backend.to_numpy(network.backend.run(self._slope, self._weights, *inputs))


def _handed_on(given: Array) -> Edit:
    def edit(xp: Namespace, activation: Array) -> Array:
        return xp.concat([activation[activation.shape[0] // 2 :], xp.astype(given, activation.dtype)], axis=0)

    return edit


def _as_taken(network: Network, images: Array) -> Array:
    if network.dtype in ("bfloat16", "float16"):
        xp = network.backend.xp
        return xp.astype(images, getattr(xp, network.dtype))
    return images


def _weights(network: Network) -> Tree:
    with network.scope():
        return network.weights()


def _read(network: Network, paths: Sequence[str], weights: Tree, images: NDArray[np.float32]) -> dict[str, Any]:
    with network.scope():
        read = network.backend.run(Reading(network, tuple(paths)), weights, native(network, images))
        return {path: network.backend.to_numpy(value) for path, value in read.items()}


def _take_in(
    differences: Sequence[Difference],
    pairs: Sequence[Pair],
    read_a: Mapping[str, NDArray[np.floating]],
    read_b: Mapping[str, NDArray[np.floating]],
    share: float,
) -> None:
    """Add the first `share` of a batch."""
    for difference, pair in zip(differences, pairs, strict=True):
        one, other = read_a[pair.a], read_b[pair.b]
        kept = round(len(one) * share)
        difference.add(one[:kept], other[: round(len(other) * share)])


def _batches(images: NDArray[np.float32], batch: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield batches of one size, the last padded with copies so that it is not compiled again, and their unpadded sizes."""
    for start in range(0, len(images), batch):
        rows = images[start : start + batch]
        yield filled(rows, batch), len(rows)


def _ratio(difference: float, scale: float) -> float:
    if scale > 0:
        return difference / scale
    return 0.0 if difference == 0 else np.inf
