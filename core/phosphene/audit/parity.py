"""`parity`: two ports of one model compared layer by layer, and the layers at which they part of themselves."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.ascent import Progress
from phosphene.audit import certificate
from phosphene.audit.certificate import Row, related
from phosphene.audit.matching import Pair, Unmatched, match
from phosphene.audit.measuring import (
    Difference,
    batch_size,
    compare,
    compare_gradients,
    compare_own,
    gradient_floor,
    sketch,
)
from phosphene.backend import Network
from phosphene.draws import integer
from phosphene.errors import InvalidParameter
from phosphene.images import check_images
from phosphene.layers import OUTPUT
from phosphene.progress import reporter
from phosphene.rendering import describe

__all__ = ["Parity", "Row", "parity"]

GRADIENT_IMAGES = 8
ENDINGS = (".json", ".png", ".pdf", ".svg")


@dataclass(frozen=True)
class Parity:
    """Whether two networks are the same at every layer that they share; prints as a table.

    Attributes
    ----------
    rows : tuple of Row
        In the forward order of the first network.
    unmatched : tuple of Unmatched
        Layers without a partner, each with the reason.
    tolerance : float
    networks : (mapping, mapping)
        What each was: name, backend, versions, device, dtype, fingerprint of the weights, input. Plain JSON.
    images : mapping
        Number, shape and hash of the images that were compared.
    date : str
        ISO 8601, UTC.
    """

    rows: tuple[Row, ...]
    unmatched: tuple[Unmatched, ...]
    tolerance: float
    networks: tuple[Mapping[str, Any], Mapping[str, Any]]
    images: Mapping[str, Any]
    date: str

    @property
    def equal(self) -> bool:
        """Whether activations of all pairs agree within the tolerance, and all gradients that were taken too.

        Gradients may also differ by twice as much as rounding moves the first network's own (`Row.floor`).
        """
        return all(row.equal and row.slopes_agree(self.tolerance) for row in self.rows)

    @property
    def parted(self) -> str | None:
        """Path, in the first network, of the first layer at which activations part; None when they do nowhere."""
        return next((row.a for row in self.rows if not row.equal), None)

    @property
    def faults(self) -> tuple[str, ...]:
        """Paths, in the first network, of the layers that part of themselves and not because of earlier ones."""
        return tuple(row.a for row in self.rows if row.fault)

    @property
    def verdict(self) -> str:
        """The finding in one plain sentence."""
        return certificate.sentence(self)

    def row(self, path: str) -> Row:
        """The row of a layer, by its path in either network.

        Raises
        ------
        InvalidParameter
            When no pair has that path.
        """
        for row in self.rows:
            if row.a == path:
                return row
        for row in self.rows:
            if row.b == path:
                return row
        raise InvalidParameter("path", allowed="a layer that was compared", received=path, fix="See `rows`.")

    def certificate(self) -> dict[str, Any]:
        """All of it as plain JSON: the verdict, what was compared and on what, the table, the faults. NaN is None."""
        return certificate.certificate(self)

    def plot(self) -> Any:
        """Draw the difference of every layer in forward order, on a logarithmic scale.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.audit.figures import plot_parity

        return plot_parity(self)

    def save(self, path: str | Path) -> Path:
        """Write the certificate (``.json``) or the figure (``.png``, ``.pdf``, ``.svg``), whole or not at all.

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.files import check_writable, write_whole

        if Path(path).suffix not in ENDINGS:
            raise InvalidParameter(
                "path", allowed=f"a name that ends in {', '.join(ENDINGS)}", received=str(path),
                fix="The certificate is JSON, the figure one of the others.",
            )  # fmt: skip
        target = check_writable(path)
        write_whole(target, certificate.content(self, target.suffix[1:]))
        return target

    def __repr__(self) -> str:
        return certificate.table(self)


def parity(
    net_a: Network,
    net_b: Network,
    images: ArrayLike,
    *,
    layers: Mapping[str, str] | None = None,
    tolerance: float = 1e-4,
    gradients: int = 8,
    batch: int | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Parity:
    """Compare two ports of one model at every layer that they share.

    Layers are matched by path, and where paths differ by an alignment of the two forward orders that weighs shapes, kinds,
    names and activations. Where the networks part, each layer of the second is given the first one's activations at all layers
    before it: one that still differs is at fault itself, all others follow from those.

    Parameters
    ----------
    net_a, net_b : Network
        From `phosphene.wrap` or `phosphene.load`; on one backend or two. Of one input size and number of channels; each
        applies its own normalisation.
    images : array-like (N, H, W, C) or (H, W, C)
        Floats in [0, 1], of the networks' input size.
    layers : mapping of str to str, optional
        Path in `net_a` to path in `net_b`, for pairs that are to be held to be the same; the others are found.
    tolerance : float, default 1e-4
        Largest relative difference that counts as equal.
    gradients : int, default 8
        At how many layers beside the output gradients are compared, spread evenly, over up to 8 of the images; 0 is nowhere,
        not at the output either. A rectifier whose input is zero but for rounding may pass a gradient in one port and not in
        the other: gradients agree also if they differ by no more than twice what rounding does to the first one's. In networks
        that were wrapped with ``dtype="float64"`` such chance has no part.
    batch : int, optional
        Images at a time; by memory when absent.
    progress : callable or bool, optional
        Called after each batch; returning False ends the comparison with the images so far.

    Returns
    -------
    Parity

    Raises
    ------
    InvalidParameter
        For networks of different input, when no layer matches, and for a pair in `layers` of unequal shapes.
    UnknownLayer
        For a path in `layers` that its network does not have.
    InvalidImages
        For images of the wrong shape, size, dtype or range.
    """
    pictures = _checked(net_a, net_b, images)
    tolerance = _tolerance(tolerance)
    spread = integer("gradients", gradients)
    matching = match(
        net_a.layers, net_b.layers, names=_names(net_a, net_b), given=layers,
        sketches=lambda paths_a, paths_b: (sketch(net_a, pictures, paths_a), sketch(net_b, pictures, paths_b)),
    )  # fmt: skip
    pairs = matching.pairs
    size = batch_size(net_a, net_b, pairs) if batch is None else integer("batch", batch, minimum=1)
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
            pair.a, pair.b, pair.how, net_a.layers[pair.a].shape,
            relative=difference.relative, mean=difference.mean, cosine=difference.cosine,
            own=None if own is None else own[index].relative,
            gradient=found[index].relative if index in found else None,
            floor=floor.get(index),
            nonfinite=(difference.nonfinite_a, difference.nonfinite_b),
            equal=not parts[index],
            fault=parts[index] and own is not None and not _within(own[index], tolerance),
        )
        for index, (pair, difference) in enumerate(zip(pairs, differences, strict=True))
    ]  # fmt: skip
    return Parity(
        rows=related(rows, list(net_b.layers)),
        unmatched=matching.unmatched,
        tolerance=tolerance,
        networks=(_described(net_a), _described(net_b)),
        images={"count": len(pictures), "shape": list(pictures.shape[1:]), "hash": _hash(pictures)},
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


class _Count:
    """Tells the user how far it is; answers whether to go on."""

    def __init__(self, tell: Callable[[Progress], bool | None], total: int) -> None:
        self._tell, self._total, self._done, self._start = tell, total, 0, time.perf_counter()

    def __call__(self, count: int) -> bool:
        self._done += count
        state = Progress(self._done, self._total, "images", time.perf_counter() - self._start)
        return self._tell(state) is not False


def _checked(net_a: Network, net_b: Network, images: ArrayLike) -> NDArray[np.float32]:
    for name, network in (("net_a", net_a), ("net_b", net_b)):
        if not isinstance(network, Network):
            raise InvalidParameter(
                name, allowed="a network", received=network, fix="Wrap a model first: ph.wrap(model, size=(224, 224))."
            )
    for what in ("size", "channels"):
        one, other = getattr(net_a.input, what), getattr(net_b.input, what)
        if one != other:
            raise InvalidParameter(
                "net_b", allowed=f"a network whose images have the {what} {one}, as those of net_a", received=other,
                fix="Both see the same images: wrap them alike.",
            )  # fmt: skip
    return check_images(images, net_a.input, size=net_a.input.size)


def _tolerance(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < math.inf:
        raise InvalidParameter("tolerance", allowed="a positive number", received=value, fix="tolerance=1e-4")
    return float(value)


def _names(net_a: Network, net_b: Network) -> tuple[str, str]:
    names = tuple(f"{network.name} ({network.backend.name})" for network in (net_a, net_b))
    return ("net_a", "net_b") if names[0] == names[1] else (names[0], names[1])


def _within(difference: Difference, tolerance: float) -> bool:
    # What was nowhere finite is NaN, and not within.
    return difference.relative <= tolerance


def _spread(pairs: Sequence[Pair], count: int) -> list[int]:
    """Places of `count` pairs spread evenly, and of the output."""
    if not count:
        return []
    inner = [index for index, pair in enumerate(pairs) if pair.a != OUTPUT]
    # The last inner layer comes last: as a rule it is the output itself.
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
