"""`parity`: compare two ports of a model layer by layer and report where they first diverge."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.data.in_memory import read_images
from phosphene.errors import InvalidParameter
from phosphene.kit.arguments import optional_integer
from phosphene.kit.checks import a_network, integer, number, text
from phosphene.kit.progress import Progress, check_progress, reporter
from phosphene.kit.provenance import describe
from phosphene.kit.result import FIGURES, Result
from phosphene.layers import OUTPUT
from phosphene.port_parity import certificate
from phosphene.port_parity.certificate import Row, related
from phosphene.port_parity.differences import (
    Difference,
    batch_size,
    compare,
    compare_gradients,
    compare_own,
    gradient_floor,
    sketch,
)
from phosphene.port_parity.layer_pairs import Pair, Unmatched, match

__all__ = ["Parity", "Row", "parity"]

GRADIENT_IMAGES = 8


@dataclass(frozen=True)
class Parity(Result):
    """Whether two networks agree at every layer that they share; prints as a table.

    Saved as ``.json``, it is a certificate; see `certificate`.

    Attributes
    ----------
    rows : tuple of Row
        One row per pair of matched layers, in the forward order of the first network.
    unmatched : tuple of Unmatched
        Layers that were not matched, each with the reason.
    tolerance : float
        Largest relative difference that counts as equal.
    networks : (mapping, mapping)
        Name, backend, versions, device, dtype, fingerprint of the weights, and input of each network, as plain JSON.
    images : mapping
        Number, shape and hash of the images.
    date : str
        Date and time in ISO 8601 format, UTC.
    """

    kind: ClassVar[str] = "parity"
    endings: ClassVar[tuple[str, ...]] = (".json", ".npz", *FIGURES)

    rows: tuple[Row, ...]
    unmatched: tuple[Unmatched, ...]
    tolerance: float
    networks: tuple[Mapping[str, Any], Mapping[str, Any]]
    images: Mapping[str, Any]
    date: str

    @property
    def equal(self) -> bool:
        """Whether the activations of all pairs, and all compared gradients, agree within the tolerance.

        Gradients may also differ by up to twice the effect of rounding on those of the first network (`Row.floor`).
        """
        return all(row.equal and row.slopes_agree(self.tolerance) for row in self.rows)

    @property
    def parted(self) -> str | None:
        """Path, in the first network, of the first layer at which activations differ; None if they agree everywhere."""
        return next((row.a for row in self.rows if not row.equal), None)

    @property
    def faults(self) -> tuple[str, ...]:
        """Paths, in the first network, of the layers that differ even if given equal inputs."""
        return tuple(row.a for row in self.rows if row.fault)

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        return certificate.sentence(self)

    def row(self, path: str) -> Row:
        """Return the row of a layer by its path in either network.

        Raises
        ------
        InvalidParameter
            If no pair has that path.
        """
        text("path", path, fix="The paths in `rows` were compared.")
        for row in self.rows:
            if row.a == path:
                return row
        for row in self.rows:
            if row.b == path:
                return row
        raise InvalidParameter(
            "path", allowed="a layer that was compared", received=path, fix="The paths in `rows` were compared."
        )

    def certificate(self) -> dict[str, Any]:
        """Return the result as plain JSON: verdict, networks, images, table and faults. NaN becomes None."""
        return certificate.certificate(self)

    def plot(self) -> Any:
        """Draw the difference of every layer in forward order, on a logarithmic scale."""
        from phosphene.port_parity.figure import plot_parity

        return plot_parity(self)

    def _text(self, ending: str) -> str:
        return json.dumps(self.certificate(), indent=2, allow_nan=False) + "\n"

    def __repr__(self) -> str:
        return certificate.table(self)


def parity(
    net_a: Network,
    net_b: Network,
    images: ImagesLike,
    *,
    layers: Mapping[str, str] | None = None,
    tolerance: float = 1e-4,
    gradients: int = 8,
    batch: int | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Parity:
    """Compare two ports of a model layer by layer and report where they first diverge.

    Layers are matched by path, or else by an alignment of the two forward orders that takes shapes, kinds, names and activations
    into account. If the networks differ, each layer of the second network is then run on the first network's activations: a layer
    that still differs is a fault, the others differ because of earlier faults.

    Parameters
    ----------
    net_a, net_b : Network
        From `phosphene.wrap` or `phosphene.load`, on one backend or two. They must have the same input size and number of
        channels; each applies its own normalisation.
    images : images
        Anything that `phosphene.images` takes; arrays have the networks' input size.
    layers : mapping of str to str, optional
        Pairs of layers as a mapping from paths in `net_a` to paths in `net_b`; all other pairs are found automatically.
    tolerance : float, default 1e-4
        Largest relative difference that counts as equal.
    gradients : int, default 8
        Number of layers, evenly spaced, at which gradients are compared in addition to the output, on up to 8 of the images; 0
        compares no gradients at all. A rectifier whose input is zero up to rounding may pass a gradient in one port and not in
        the other, so gradients may differ by up to twice the effect of rounding on those of the first network. Networks
        wrapped with ``dtype="float64"`` avoid this.
    batch : int, optional
        Images per batch (default: chosen by memory).
    progress : callable or bool, optional
        Called after each batch; returning False ends the comparison with the images so far. True or False show or hide a
        progress bar.

    Returns
    -------
    Parity

    Raises
    ------
    InvalidParameter
        If the networks' inputs differ, no layers match, or a pair in `layers` has unequal shapes.
    UnknownLayer
        If a network does not have a path in `layers`.
    InvalidImages
        If the images have the wrong shape, size, dtype or range.
    """
    tolerance = number("tolerance", tolerance, minimum=0.0, open_minimum=True, example=1e-4)
    spread, batch = integer("gradients", gradients), optional_integer("batch", batch, minimum=1)
    check_progress(progress)
    _check_pairs(layers)
    pictures = _checked(net_a, net_b, images)
    matching = match(
        net_a.layers,
        net_b.layers,
        names=_names(net_a, net_b),
        given=layers,
        sketches=lambda paths_a, paths_b: (sketch(net_a, pictures, paths_a), sketch(net_b, pictures, paths_b)),
    )
    pairs = matching.pairs
    size = batch_size(net_a, net_b, pairs) if batch is None else batch
    size = min(size, len(pictures))
    sloped = _spread(pairs, spread)
    with reporter(progress, "parity", 2 * len(pictures) + len(sloped)) as tell:
        count = _Count(tell, 2 * len(pictures) + len(sloped))
        differences, compared = compare(net_a, net_b, pairs, pictures, size, count)
        pictures = pictures[:compared]
        parts = [not _within(difference, tolerance) for difference in differences]
        own: list[Difference] | None = None
        if any(parts):
            own = compare_own(net_a, net_b, pairs, pictures, min(size, compared), count)
        few, chosen = pictures[:GRADIENT_IMAGES], [pairs[index] for index in sloped]
        slopes = compare_gradients(net_a, net_b, chosen, few, count)
        floors: list[float] = []
        if own is None and not all(_within(slope, tolerance) for slope in slopes):
            floors = gradient_floor(net_a, net_b, chosen[: len(slopes)], few)
    found = dict(zip(sloped, slopes, strict=False))
    floor = dict(zip(sloped, floors, strict=False))
    rows = [
        Row(
            pair.a,
            pair.b,
            pair.how,
            net_a.layers[pair.a].shape,
            relative=difference.relative,
            mean=difference.mean,
            cosine=difference.cosine,
            own=None if own is None else own[index].relative,
            gradient=found[index].relative if index in found else None,
            floor=floor.get(index),
            nonfinite=(difference.nonfinite_a, difference.nonfinite_b),
            equal=not parts[index],
            fault=parts[index] and own is not None and not _within(own[index], tolerance),
        )
        for index, (pair, difference) in enumerate(zip(pairs, differences, strict=True))
    ]
    return Parity(
        rows=related(rows, list(net_b.layers)),
        unmatched=matching.unmatched,
        tolerance=tolerance,
        networks=(_described(net_a), _described(net_b)),
        images={"count": len(pictures), "shape": list(pictures.shape[1:]), "hash": _hash(pictures)},
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _check_pairs(layers: Any) -> None:
    """Check that pairs of layers are a mapping of paths to paths."""
    fix = 'For example layers={"layer1": "stage1"}, or leave it out.'
    allowed = "a mapping from paths in net_a to paths in net_b"
    if layers is not None and not isinstance(layers, Mapping):
        raise InvalidParameter("layers", allowed=allowed, received=layers, fix=fix)
    for pair in ({} if layers is None else layers).items():
        if not all(isinstance(path, str) for path in pair):
            raise InvalidParameter("layers", allowed=allowed, received=layers, fix=fix)


class _Count:
    """Reports progress; returns whether to continue."""

    def __init__(self, tell: Callable[[Progress], bool | None], total: int) -> None:
        self._tell, self._total, self._done, self._start = tell, total, 0, time.perf_counter()

    def __call__(self, count: int) -> bool:
        self._done += count
        state = Progress(self._done, self._total, "images", time.perf_counter() - self._start)
        return self._tell(state) is not False


def _checked(net_a: Network, net_b: Network, images: ImagesLike) -> NDArray[np.float32]:
    for name, network in (("net_a", net_a), ("net_b", net_b)):
        a_network(network, name)
    for what in ("size", "channels"):
        one, other = getattr(net_a.input, what), getattr(net_b.input, what)
        if one != other:
            raise InvalidParameter(
                "net_b",
                allowed=f"a network with the input {what} of net_a, {one}",
                received=other,
                fix="Wrap both networks with the same size and number of channels.",
            )
    return read_images(images, net_a.input, size=net_a.input.size)


def _names(net_a: Network, net_b: Network) -> tuple[str, str]:
    names = tuple(f"{network.name} ({network.backend.name})" for network in (net_a, net_b))
    return ("net_a", "net_b") if names[0] == names[1] else (names[0], names[1])


def _within(difference: Difference, tolerance: float) -> bool:
    # False for NaN, which stands for no finite values.
    return difference.relative <= tolerance


def _spread(pairs: Sequence[Pair], count: int) -> list[int]:
    """Indices of `count` evenly spaced pairs, and of the output."""
    if not count:
        return []
    inner = [index for index, pair in enumerate(pairs) if pair.a != OUTPUT]
    # The last inner layer is left out: as a rule it equals the output.
    chosen = np.arange(len(inner))
    if count < len(inner):
        chosen = np.linspace(0, len(inner) - 1, count + 1)[:-1].round().astype(int)
    return [*(inner[place] for place in chosen), *(index for index in range(len(pairs)) if index not in inner)]


def _described(network: Network) -> dict[str, Any]:
    spec = network.input
    described = describe(network, 0, spec.size)
    del described["seed"]
    normalisation = {"range": list(spec.range), "mean": list(spec.mean), "std": list(spec.std)}
    return {**described, "channels": spec.channels, **normalisation, "layers": len(network.layers)}


def _hash(images: NDArray[np.float32]) -> str:
    return hashlib.blake2b(repr(images.shape).encode() + images.tobytes(), digest_size=16).hexdigest()
