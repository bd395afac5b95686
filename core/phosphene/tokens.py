"""Find the meaning of a transformer's tokens: which are special tokens, and which stand for which image patch.

Special tokens (class, distillation, registers) are those that are equal for two different images at the first layer that has
tokens and depends on the image, as a table of positions does not. The tokens behind them must form the grid of an earlier
layer, or a grid with the proportions of the image, and a probe must confirm it: if one position of that layer, or the pixels of
one patch, change, its token must change most. Nothing is guessed: what cannot be confirmed stays unknown, and can be stated
with ``ph.wrap(..., tokens=("class",))``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from phosphene.backend import Network
from phosphene.errors import InvalidParameter
from phosphene.layers import ATTENTION, Layer, Layers, Tokens
from phosphene.types import Edit, Floats, Size

__all__ = ["with_tokens"]

SPECIAL = {"cls": "class", "class": "class", "dist": "distillation", "reg": "register", "storage": "register"}
"""Prefixes of the names of special tokens' parameters, and the tokens' names, in the order in which models place them."""

QUERIES = ("quer", "latent", "slot", "probe")
"""Parts of the names of parameters that hold learned queries, of which there may be as many as patches."""

SAMPLED = 6
"""Number of layers with equally many tokens on which the probe is read, if they can be assumed to agree."""

AT_ONCE = 16
"""Number of layers read at a time if each one is probed."""


def with_tokens(network: Network, stated: Sequence[str] | None = None) -> Layers:
    """Return the layers of a network with `Layer.tokens` set where the tokens are known.

    Parameters
    ----------
    network : Network
    stated : sequence of str, optional
        Names of the special tokens in front of the patches, ``()`` for none (default: found automatically).

    Returns
    -------
    Layers

    Raises
    ------
    InvalidParameter
        If names are stated and no layer has that many tokens in addition to a grid of patches.
    """
    layers = list(network.layers.values())
    by_count: dict[int, list[Layer]] = {}
    for layer in layers:
        if _has_tokens(layer) and (layer.shape[0] > 1 or stated is not None):
            by_count.setdefault(layer.shape[0], []).append(layer)
    known: dict[str, Tokens] = {}
    fronts = dict.fromkeys(by_count, None if stated is None else tuple(stated))
    if stated is None:
        fronts = _fronts(network, by_count)
    for count, group in by_count.items():
        front = fronts[count]
        if front is None or not group:
            continue
        before = layers[: layers.index(group[0])]
        for grid, source in _grids(count - len(front), before, network.input.size):
            meaning = Tokens(front, grid)
            agreed = group if stated is not None else _agreed(network, _Probe(network, meaning, source), group)
            known.update({layer.path: meaning for layer in agreed})
            if agreed:
                break
    if stated is not None and not known:
        raise InvalidParameter(
            "tokens",
            allowed="the names of the special tokens in front of the patches",
            received=tuple(stated),
            fix=f"Layers of {network.name} have {' or '.join(map(str, by_count)) or 'no'} tokens, and no grid of patches "
            f"fits the number that remains without {len(stated)} special token{'s' * (len(stated) != 1)}. "
            "Leave `tokens` out to find them automatically.",
        )
    return Layers(_told(layers, known), network.name, network.layers.idle, network.layers.aliases)


def _told(layers: Sequence[Layer], known: Mapping[str, Tokens]) -> Iterator[Layer]:
    """Yield layers with their tokens; a self-attention map has the tokens of the layers before it."""
    latest: dict[int, Tokens | None] = {}
    for layer in layers:
        if _has_tokens(layer):
            latest[layer.shape[0]] = known.get(layer.path)
            yield replace(layer, tokens=known.get(layer.path))
        elif _is_map(layer) and layer.windows == 1 and layer.shape[0] == layer.shape[1]:
            yield replace(layer, tokens=latest.get(layer.shape[0]))
        else:
            yield layer


def _is_map(layer: Layer) -> bool:
    return layer.path.partition("#")[0].endswith(ATTENTION)


def _has_tokens(layer: Layer) -> bool:
    return len(layer.shape) == 2 and layer.windows == 1 and not _is_map(layer)


def _fronts(network: Network, by_count: dict[int, list[Layer]]) -> dict[int, tuple[str, ...] | None]:
    """Names of the leading tokens that do not depend on the image, by number of tokens; None if others do not depend either.

    Layers in front of the first one that depends on the image, such as tables of positions, are taken out of `by_count`.
    """
    random = np.random.default_rng(0).random((2, *network.input.size, network.input.channels))
    weights = network.weight_shapes()
    fronts: dict[int, tuple[str, ...] | None] = dict.fromkeys(by_count)
    left = list(by_count)
    while left:
        # One forward pass for all, and another only if a first layer is constant.
        firsts = [by_count[count][0] for count in left]
        constant = []
        for count, changes in zip(left, _changes(network, random, firsts), strict=True):
            if not changes.any():
                by_count[count].pop(0)
                constant += [count] if by_count[count] else []
                continue
            same = changes[0] <= 1e-6 * changes[0].max()
            front = int(np.argmin(same))
            fronts[count] = None if same[front:].any() else _names(weights, front)
        left = constant
    return fronts


def _names(weights: Mapping[str, tuple[int, ...]], count: int) -> tuple[str, ...]:
    """Names of `count` special tokens, from the names of the parameters that hold them."""
    found: list[str] = []
    for start, name in SPECIAL.items():
        for path, shape in weights.items():
            last = path.lower().rpartition(".")[2]
            if last.startswith(start) and ("token" in last or "embed" in last):
                found += [name] * (shape[-2] if len(shape) > 1 else 1)
    return tuple(found) if len(found) == count else ("special",) * count


def _grids(count: int, before: Sequence[Layer], size: Size) -> list[tuple[Size, Layer | None]]:
    """Possible grids of `count` patches: that of the nearest earlier layer, and the one with the image's proportions."""
    flat = [layer for layer in before if len(layer.shape) == 3 and layer.windows == 1 and not _is_map(layer)]
    grids: list[tuple[Size, Layer | None]] = []
    for layer in reversed(flat):
        if layer.shape[0] * layer.shape[1] == count:
            grid = (layer.shape[0], layer.shape[1])
            grids += [(grid, layer), (grid, None)]
            break
    rows = round((count * size[0] / size[1]) ** 0.5) if count > 0 else 0
    if rows and count % rows == 0 and rows * size[1] == count // rows * size[0]:
        grids.append(((rows, count // rows), None))
    return list(dict.fromkeys(grids))


class _Probe:
    """Copies of an image, in each of which except the first one position of a grid is changed.

    Parameters
    ----------
    network : Network
    meaning : Tokens
        The meaning of the tokens to be confirmed.
    source : Layer, optional
        The layer whose positions are changed (default: the pixels of a patch are changed).
    """

    def __init__(self, network: Network, meaning: Tokens, source: Layer | None) -> None:
        self._network, self._prefix = network, len(meaning.prefix)
        size, channels = network.input.size, network.input.channels
        rows, columns = meaning.grid
        # Off the diagonal, so that swapped rows and columns are noticed, and not only at the border.
        places = list(dict.fromkeys([(0, columns - 1), (rows - 1, 0), (rows // 2, columns // 3)]))
        self._expected = [meaning.index(*place) for place in places]
        random = np.random.default_rng(1)
        self._images = np.repeat(random.random((1, *size, channels)), 1 + len(places), axis=0)
        self._source = source
        self._change = np.zeros((1 + len(places), *(source.shape if source is not None else ())))
        for index, (row, column) in enumerate(places, start=1):
            if source is not None:
                self._change[index, row, column] = random.standard_normal(source.channels)
                continue
            height = slice(row * size[0] // rows, (row + 1) * size[0] // rows)
            width = slice(column * size[1] // columns, (column + 1) * size[1] // columns)
            patch = self._images[index, height, width]
            self._images[index, height, width] = random.random(patch.shape)

    def answers(self, layers: Sequence[Layer]) -> list[bool | None]:
        """Whether each layer's tokens have the expected meaning; None if the probe does not decide."""
        edit: dict[str, Edit] = {}
        if self._source is not None:
            backend, network = self._network.backend, self._network
            change = backend.from_numpy(self._change, device=network.device, dtype=network.dtype)
            edit[self._source.path] = lambda xp, value: value + change * xp.max(xp.abs(value))
        return [self._answer(changes) for changes in _changes(self._network, self._images, layers, edit)]

    def _answer(self, changes: Floats) -> bool | None:
        patches = np.where(np.arange(changes.shape[1]) < self._prefix, 0.0, changes)
        most = patches.max(axis=1)
        there = changes[np.arange(len(changes)), self._expected]
        if not (there > 1e-5 * most).all():
            return False
        return True if (patches.argmax(axis=1) == self._expected).all() else None


def _agreed(network: Network, probe: _Probe, group: Sequence[Layer]) -> Sequence[Layer]:
    """Return the layers, of a group with equally many tokens, that agree with the probe.

    Attention mixes tokens, so the probe does not decide for later layers. The answer for the first layer then holds for them,
    unless one layer disagrees, or something else may have as many rows: learned queries, or in a layer with as many channels
    as tokens, channels in place of tokens. In that case only layers that agree themselves are returned.
    """
    if probe.answers(group[:1])[0] is not True:
        return []
    plain = [] if _queried(network.weight_shapes(), group[0].shape[0]) else [one for one in group if not _square(one)]
    sampled = [plain[round(place)] for place in np.linspace(0, len(plain) - 1, min(SAMPLED, len(plain)))]
    if False in probe.answers(sampled):
        plain = []
    known = {layer.path for layer in plain}
    probed = [layer for layer in group if layer.path not in known]
    for start in range(0, len(probed), AT_ONCE):
        some = probed[start : start + AT_ONCE]
        known |= {layer.path for layer, answer in zip(some, probe.answers(some), strict=True) if answer}
    return [layer for layer in group if layer.path in known]


def _queried(weights: Mapping[str, tuple[int, ...]], count: int) -> bool:
    return any(
        len(shape) > 1 and shape[-2] == count and any(word in path.lower() for word in QUERIES)
        for path, shape in weights.items()
    )


def _square(layer: Layer) -> bool:
    return layer.shape[-1] == layer.shape[0]


def _changes(
    network: Network, images: Floats, layers: Sequence[Layer], edit: Mapping[str, Edit] | None = None
) -> list[Floats]:
    """For each layer, the distance of each token of the other images from the first image's; ``(images - 1, tokens)``."""
    backend, paths = network.backend, [layer.path for layer in layers]
    if not paths:
        return []
    with network.scope():
        given = backend.from_numpy(images, device=network.device, dtype=network.dtype)
        read = network.forward(given, paths, edit=edit)
        values = [backend.to_numpy(read[path]) for path in paths]
    return [np.linalg.norm(value[1:] - value[:1], axis=-1) for value in values]
