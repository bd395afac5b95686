"""Layers as a person names them: a path, a kind, a channel-last shape.

A layer is an activation that can be read, edited and differentiated. Paths are the module paths of the model, joined by dots
(``stage2.block1.conv1``); where one module runs several times in a forward pass, its second call is ``path#1``, the third
``path#2``. The model's return value is the layer `OUTPUT`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from phosphene.errors import UnknownLayer

__all__ = ["OUTPUT", "Layer", "Layers"]

OUTPUT = "output"
"""Path of the layer that is the model's return value: logits, for a classifier."""


@dataclass(frozen=True)
class Layer:
    """One readable activation of a network.

    Attributes
    ----------
    path : str
        Where it is: the module path, with ``#k`` for the k-th further call of the same module.
    kind : str
        The class name of the module, such as ``"Conv2d"``; ``"Mark"`` for a named value of a plain function.
    shape : tuple of int
        Shape at the network's own input size, channel-last and without the batch axis: ``(H, W, C)``, ``(T, C)`` or ``(C,)``.
    parameters : int
        Number of trained values in the module and below it.
    channel_axis : int
        The channel axis in the framework's own layout, counted with the batch axis (1 for NCHW, -1 for channel-last).
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    channel_axis: int = -1

    @property
    def channels(self) -> int:
        """Number of channels, the last entry of `shape`."""
        return self.shape[-1] if self.shape else 1

    @property
    def spatial(self) -> bool:
        """Whether the activation has positions: rows and columns, tokens or time steps."""
        return len(self.shape) > 1


class Layers(Mapping[str, Layer]):
    """The layers of a network in forward order, by path; prints as a table.

    Parameters
    ----------
    layers : iterable of Layer
        In the order in which they are computed.
    network : str
        Name of the network, for error messages.
    """

    def __init__(self, layers: Iterable[Layer], network: str) -> None:
        self._layers = {layer.path: layer for layer in layers}
        self._network = network

    def __getitem__(self, path: str) -> Layer:
        try:
            return self._layers[path]
        except (KeyError, TypeError):
            raise UnknownLayer(path, self._layers, self._network) from None

    def __contains__(self, path: object) -> bool:
        return path in self._layers

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def select(self, pattern: str = "*", *, kind: str = "*", spatial: bool | None = None) -> Layers:
        """Layers whose path and kind match shell-style patterns.

        Parameters
        ----------
        pattern : str, default "*"
            Glob over paths: ``"stage2.*"``.
        kind : str, default "*"
            Glob over kinds: ``"Conv*"``.
        spatial : bool, optional
            Keep only layers with (True) or without (False) positions.

        Returns
        -------
        Layers
            In forward order.

        Raises
        ------
        UnknownLayer
            When nothing matches.
        """
        chosen = [
            layer
            for layer in self._layers.values()
            if fnmatch.fnmatchcase(layer.path, pattern)
            and fnmatch.fnmatchcase(layer.kind, kind)
            and (spatial is None or layer.spatial == spatial)
        ]
        if not chosen:
            raise UnknownLayer(pattern, self._layers, self._network)
        return Layers(chosen, self._network)

    def last(self, paths: Iterable[str]) -> str:
        """The one of `paths` that is computed last."""
        order = {path: index for index, path in enumerate(self._layers)}
        return max((self[path].path for path in paths), key=order.__getitem__)

    def __repr__(self) -> str:
        rows = [("path", "kind", "shape", "parameters")]
        for layer in self._layers.values():
            shape = " x ".join(str(side) for side in layer.shape) or "scalar"
            rows.append((layer.path, layer.kind, shape, f"{layer.parameters:,}"))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            f"{path:<{widths[0]}}  {kind:<{widths[1]}}  {shape:>{widths[2]}}  {parameters:>{widths[3]}}"
            for path, kind, shape, parameters in rows
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(lines)
