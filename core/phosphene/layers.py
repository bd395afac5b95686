"""Layers of a network: path, kind and channel-last shape.

A layer is an activation that can be read, edited and differentiated. Paths are the module paths of the model, joined by dots
(``stage2.block1.conv1``). If a module runs several times in a forward pass, its second call is ``path#1``, its third
``path#2``. If a module returns several tensors, `path` is the main one (its ``logits``, or else the first), and the others have
the path of the module followed by an index or a key: ``path[1]``, ``path["aux"]``, ``path#1[1][0]``; the main one can be called by
its own index as well. The model's return value is the layer `OUTPUT`, with parts ``output["aux"]``. The attention map of a
module has the module's path followed by `ATTENTION`.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from phosphene.errors import InvalidParameter, UnknownLayer
from phosphene.types import Size
from phosphene.words import aligned, breadth

__all__ = ["ATTENTION", "OUTPUT", "Layer", "Layers", "Tokens"]

OUTPUT = "output"
"""Path of the layer that is the model's return value (logits, for a classifier)."""

ATTENTION = "@attention"
"""Suffix of the path of an attention map: ``blocks.3.attn@attention`` holds the attention weights of ``blocks.3.attn``."""


LONGEST_PATTERN = 1000
"""Characters of a pattern; the time to compile one grows with the square of their number."""


@dataclass(frozen=True)
class Tokens:
    """The meaning of a layer's tokens: special tokens first, then one token per image patch, row by row.

    Attributes
    ----------
    prefix : tuple of str
        Names of the special tokens, such as ``("class", "register", "register")``; ``()`` if there are none.
    grid : (int, int)
        Rows and columns of patches.
    """

    prefix: tuple[str, ...]
    grid: Size

    @property
    def count(self) -> int:
        """Number of tokens."""
        return len(self.prefix) + self.grid[0] * self.grid[1]

    def index(self, row: int, column: int) -> int:
        """Index of the token of the patch at `row` and `column`."""
        return len(self.prefix) + row * self.grid[1] + column

    def __str__(self) -> str:
        names = Counter(self.prefix)
        parts = [name if count == 1 else f"{count} {name}" for name, count in names.items()]
        return " + ".join([*parts, f"{self.grid[0]} x {self.grid[1]}"])


@dataclass(frozen=True)
class Layer:
    """An activation of a network that can be read.

    Attributes
    ----------
    path : str
        The module path, followed by ``#k`` for the k-th repeated call of the same module.
    kind : str
        Class name of the module, such as ``"Conv2d"``; ``"Mark"`` for a named value of a plain function.
    shape : tuple of int
        Shape at the network's native input size, channel-last and without the batch axis: ``(H, W, C)``, ``(T, C)`` or
        ``(C,)``; ``(queries, keys, heads)`` for an attention map. If the model folds windows of the image into its batch
        axis, they come first: ``(windows, T, C)``.
    parameters : int
        Number of trainable values in the module and its submodules.
    channel_axis : int, default -1
        The channel axis in the framework's layout, counting the batch axis (1 for NCHW, -1 for channel-last).
    windows : int, default 1
        Number of windows per image that the model folds into its batch axis.
    tokens : Tokens, optional
        The meaning of the tokens, if it is known; None for layers without tokens.
    batch_axis : int, default 0
        The batch axis in the framework's layout: 1 for the ``(T, N, C)`` of many transformers and recurrent networks.
    part : str, default ""
        For the main one of several tensors that a module returns, how it is written as a part, such as ``"[0]"``.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    channel_axis: int = -1
    windows: int = 1
    tokens: Tokens | None = None
    batch_axis: int = 0
    part: str = ""

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes of `shape`: depth, row, column, token, query, key, window, position, and channel (or head)."""
        if self.kind == "Attention":
            inner: tuple[str, ...] = ("query", "key", "head")
        else:
            sides = len(self.shape) - (2 if self.windows > 1 else 1)
            names = {0: (), 1: ("token",), 2: ("row", "column"), 3: ("depth", "row", "column")}
            inner = (*names.get(sides, ("position",) * sides), "channel")
        return ("window", *inner) if self.windows > 1 else inner

    @property
    def channels(self) -> int:
        """Number of channels, the last entry of `shape`."""
        return self.shape[-1] if self.shape else 1

    @property
    def spatial(self) -> bool:
        """Whether the activation has positions: rows and columns, tokens or time steps."""
        return len(self.shape) > 1


class Layers(Mapping[str, Layer]):
    """The layers of a network by path, in forward order. Prints as a table.

    Parameters
    ----------
    layers : iterable of Layer
        In forward order.
    network : str
        Name of the network, used in error messages.
    idle : iterable of str, optional
        Paths of modules that cannot be read, because they did not run or returned no activation.
    aliases : mapping of str to str, optional
        Other paths of modules that the model holds under several names, and the path under which each is read.
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        network: str,
        idle: Iterable[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._layers = {layer.path: layer for layer in layers}
        self._parts = {layer.path + layer.part: layer for layer in self._layers.values() if layer.part}
        self._network = network
        self.idle = frozenset(idle) - self._layers.keys()
        self.aliases = dict(aliases or {})

    def __getitem__(self, path: str) -> Layer:
        if not isinstance(path, str):
            raise UnknownLayer(path, self._layers, self._network)
        try:
            return self._layers[path] if path in self._layers else self._parts[path]
        except KeyError:
            raise UnknownLayer(
                path,
                self._layers,
                self._network,
                idle=path in self.idle,
                alias=self._alias(path),
            ) from None

    def _alias(self, path: str) -> str | None:
        """Return the path under which a module with several names is read, with the number of the call if one was given."""
        module, mark, call = path.partition("#")
        other = self.aliases.get(module)
        return None if other is None else f"{other}{mark}{call}"

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and (path in self._layers or path in self._parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def select(self, pattern: str = "*", *, kind: str = "*", spatial: bool | None = None) -> Layers:
        """Select the layers whose path and kind match shell-style patterns.

        Parameters
        ----------
        pattern : str, default "*"
            Glob pattern for paths, such as ``"stage2.*"``.
        kind : str, default "*"
            Glob pattern for kinds, such as ``"Conv*"``.
        spatial : bool, optional
            If True, keep only layers with positions; if False, only layers without (default: both).

        Returns
        -------
        Layers
            In forward order.

        Raises
        ------
        UnknownLayer
            If no layer matches.
        InvalidParameter
            If a pattern is not a string, or `spatial` is not a flag.
        """
        for name, value in (("pattern", pattern), ("kind", kind)):
            if not isinstance(value, str) or len(value) > LONGEST_PATTERN:
                raise InvalidParameter(
                    name, allowed="a glob pattern as a string", received=value, fix=f'For example {name}="*".'
                )
        if not (spatial is None or isinstance(spatial, bool)):
            raise InvalidParameter(
                "spatial", allowed="True, False or None", received=spatial, fix="For example spatial=True."
            )
        chosen = [
            layer
            for layer in self._layers.values()
            if (layer.path == pattern or fnmatch.fnmatchcase(layer.path, pattern))
            and fnmatch.fnmatchcase(layer.kind, kind)
            and (spatial is None or layer.spatial == spatial)
        ]
        if not chosen:
            raise UnknownLayer(pattern, self._layers, self._network, alias=self._alias(pattern))
        return Layers(chosen, self._network, aliases=self.aliases)

    def last(self, paths: Iterable[str]) -> str:
        """Return the path in `paths` that is computed last."""
        order = {path: index for index, path in enumerate(self._layers)}
        given = [paths] if isinstance(paths, str) else list(paths) if isinstance(paths, (list, tuple)) else None
        if not given:
            raise InvalidParameter(
                "paths", allowed="a list of paths", received=paths, fix='For example ["stage1", "stage2"].'
            )
        return max((self[path].path for path in given), key=order.__getitem__)

    def __repr__(self) -> str:
        rows: list[tuple[str, ...]] = [("path", "kind", "shape", "parameters", "tokens")]
        for layer in self._layers.values():
            shape = " x ".join(str(side) for side in layer.shape) or "scalar"
            tokens = "" if layer.tokens is None else str(layer.tokens)
            rows.append((layer.path, layer.kind, shape, f"{layer.parameters:,}", tokens))
        if all(layer.tokens is None for layer in self._layers.values()):
            rows = [row[:4] for row in rows]
        columns = [aligned(column) for column in zip(*rows, strict=True)]
        rows = list(zip(*columns, strict=True))
        widths = [breadth(column[0]) for column in columns]
        # Shapes and numbers of parameters are aligned on the right.
        lines = [
            "  ".join(
                f"{text.strip():>{widths[place]}}" if place in (2, 3) else text for place, text in enumerate(row)
            ).rstrip()
            for row in rows
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(lines)
