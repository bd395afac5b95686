"""What the tokens of a transformer are: which stand for the whole image, which for a patch, and where that patch is.

Nothing is guessed. Tokens of the model's own (class, distillation, registers) are those that two different images leave
unchanged at the first layer that has them; the grid of patches is that of the layer they were cut in. What cannot be told so
stays unknown, and can be stated: ``ph.wrap(..., tokens=("class",))``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from phosphene.backend import Network
from phosphene.errors import InvalidParameter
from phosphene.layers import Layer, Layers, Tokens
from phosphene.types import Size

__all__ = ["with_tokens"]

SPECIAL = {"cls": "class", "class": "class", "dist": "distillation", "reg": "register", "storage": "register"}
"""How parameters of such tokens are called, and what they are; in the order in which models put them."""


def with_tokens(network: Network, stated: Sequence[str] | None = None) -> Layers:
    """The layers of a network, with `Layer.tokens` filled in where it is known.

    Parameters
    ----------
    network : Network
    stated : sequence of str, optional
        Names of the tokens in front of the patches, ``()`` for none; found when absent.

    Returns
    -------
    Layers

    Raises
    ------
    InvalidParameter
        When names were stated and no layer has that many tokens more than a grid of patches.
    """
    layers = list(network.layers.values())
    counts = dict.fromkeys(layer.shape[0] for layer in layers if _is_tokens(layer))
    known: dict[int, Tokens] = {}
    for count in counts:
        first = next(index for index, layer in enumerate(layers) if _is_tokens(layer) and layer.shape[0] == count)
        grids = [layer.shape[:2] for layer in layers[:first] if layer.axes[:2] == ("row", "column")]
        prefix = _found(network, layers[first].path) if stated is None else tuple(stated)
        grid = None if prefix is None else _grid(count - len(prefix), grids, network.input.size)
        if prefix is not None and grid is not None:
            known[count] = Tokens(prefix, grid)
    if stated is not None and not known:
        raise InvalidParameter(
            "tokens", allowed="names of the tokens in front of the patches", received=tuple(stated),
            fix=f"Layers of {network.name} have {' or '.join(map(str, counts)) or 'no'} tokens, and no grid of patches "
            f"fits what {len(stated)} leave of them.",
        )  # fmt: skip

    def with_meaning(layer: Layer) -> Layer:
        if layer.axes == ("query", "key", "head") and layer.shape[0] == layer.shape[1]:
            return replace(layer, tokens=known.get(layer.shape[0]))
        return replace(layer, tokens=known.get(layer.shape[0])) if _is_tokens(layer) else layer

    return Layers([with_meaning(layer) for layer in layers], network.name, network.layers.idle)


def _is_tokens(layer: Layer) -> bool:
    return layer.axes == ("token", "channel")


def _found(network: Network, path: str) -> tuple[str, ...] | None:
    """Names of the tokens in front that do not depend on the image; None where others do not, either."""
    backend = network.backend
    size = network.input.size
    random = np.random.default_rng(0).random((2, *size, network.input.channels))
    with network.scope():
        images = backend.from_numpy(random, device=network.device, dtype=network.dtype)
        values = backend.to_numpy(network.forward(images, [path])[path])
    same = np.all(values[0] == values[1], axis=-1)
    count = int(np.argmin(same))
    if same[count:].any():
        return None
    return _names(network.weight_shapes(), count)


def _names(weights: Mapping[str, tuple[int, ...]], count: int) -> tuple[str, ...]:
    """Names of `count` tokens, by the parameters that hold them."""
    found: list[str] = []
    for start, name in SPECIAL.items():
        for path, shape in weights.items():
            last = path.lower().rpartition(".")[2]
            if last.startswith(start) and ("token" in last or "embed" in last):
                found += [name] * (shape[-2] if len(shape) > 1 else 1)
    return tuple(found) if len(found) == count else ("special",) * count


def _grid(count: int, grids: Sequence[tuple[int, ...]], size: Size) -> Size | None:
    """The grid of `count` patches: that of the layer nearest before, else the one with the image's proportions."""
    for rows, columns in reversed(grids):
        if rows * columns == count:
            return int(rows), int(columns)
    rows = round((count * size[0] / size[1]) ** 0.5) if count > 0 else 0
    if rows and count % rows == 0 and rows * size[1] == count // rows * size[0]:
        return rows, count // rows
    return None
