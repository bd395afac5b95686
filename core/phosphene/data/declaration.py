"""`images`: say how a data set is read, where the defaults do not fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import ArrayLike

from phosphene.data.fitting import Fit
from phosphene.data.items import LAYOUTS, is_array, layout_by_shape
from phosphene.data.source import Source
from phosphene.errors import InvalidParameter
from phosphene.kit.checks import choice, integer, listed, numbers, text

__all__ = ["Images", "ImagesLike", "images", "of_length"]


@dataclass(frozen=True, eq=False)
class Images:
    """A data set and how it is read, for any call that takes images; made by `images`.

    Attributes
    ----------
    given : object
        What holds the images.
    rule : Fit, optional
        The resizing rule; None: the network's own for pictures and files, and none for arrays.
    layout : {"channel-last", "channel-first"}, optional
    mean, std : tuple of float
        The normalisation that is undone; empty for none.
    column : str, optional
    count : int, optional
    identity : str, optional
    """

    given: Any
    rule: Fit | None = None
    layout: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    column: str | None = None
    count: int | None = None
    identity: str | None = None

    def __repr__(self) -> str:
        stated = {
            "fit": self.rule,
            "layout": self.layout or self._layout(),
            "mean": self.mean or None,
            "std": self.std or None,
            "column": self.column,
            "count": self.count,
            "identity": self.identity,
        }
        kind = type(self.given)
        what = self.given if isinstance(self.given, str) else f"{kind.__module__.split('.')[0]} {kind.__qualname__}"
        return ", ".join([f"Images of {what}", *(f"{k}={v!r}" for k, v in stated.items() if v is not None)])

    def _layout(self) -> str | None:
        """The layout that a tensor is taken to have, where its shape alone tells it for any network."""
        shape = tuple(self.given.shape) if is_array(self.given) else ()
        if len(shape) not in (3, 4) or shape[-3] not in (1, 3, 4):
            return None
        return {"channel-first": "channel-first, by its shape"}.get(layout_by_shape(shape, shape[-3], self.given))


ImagesLike: TypeAlias = ArrayLike | Path | Source | Images | Iterable[Any]
"""Anything that `images` takes, or its result."""


def images(
    given: Any,
    *,
    fit: str | Fit | None = None,
    fraction: float | None = None,
    layout: str | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    column: str | None = None,
    count: int | None = None,
    identity: str | None = None,
) -> Images:
    """Declare a data set, and how it is read. Every call that takes images takes the result, or `given` itself.

    What is taken:

    - paths: an image file, a folder (searched recursively, sorted by name), a glob pattern, a text file with one path per line,
      a list of paths, and ``"photos:N"``, crops of the photographs;
    - with the extra ``data``: addresses such as ``"s3://bucket/folder"``, ``"zip://*.png::photos.zip"`` and
      ``"memory://photos"``, shards ``"photos-{000..009}.tar"``, and the frames of a video file;
    - arrays ``(N, H, W, C)`` or ``(H, W, C)`` of floats in [0, 1] or of bytes: of NumPy, memory-mapped, or on disk;
    - tensors of PyTorch and arrays of JAX, also channel-first;
    - pictures of Pillow of any size, and encoded bytes;
    - lists, data sets and data loaders of PyTorch, and data sets of Hugging Face: of any of these, of pairs that begin with
      one, or of mappings that hold one. Batches are unrolled;
    - generators and other iterables, with `count`.

    Pictures and files are fitted to the input of the network by its own rule. Arrays and tensors are used as they are, unless
    `fit` is given, and must have one size.

    Parameters
    ----------
    given : object
        What holds the images.
    fit : {"crop", "pad", "stretch"} or Fit, optional
        The resizing rule, for arrays too (default: that of the network for pictures and files; arrays are not resized). "crop"
        keeps the central part of the network's aspect ratio, "pad" the whole image on a grey ground, "stretch" changes the
        aspect ratio.
    fraction : float, optional
        Share of the central part's sides that "crop" keeps, in (0, 1] (default: 1).
    layout : {"channel-last", "channel-first"}, optional
        Layout of arrays (default: channel-last for NumPy arrays; for tensors, channel-first where the shape allows it).
    mean, std : float or sequence of float, optional
        A normalisation ``(x - mean) / std`` that the arrays have had, and that is undone: the network applies its own.
    column : str, optional
        The key of the image in mappings and tables (default: found, if only one can be it).
    count : int, optional
        Number of images to use, from the first on (default: all).
    identity : str, optional
        A name for these very images, such as ``"validation set, 2026-03"``. A store is then resumed if it was written under the
        same name, and pixels are not compared (default: pixels are compared with those that the store was written from).

    Returns
    -------
    Images

    Raises
    ------
    InvalidParameter
        For an invalid argument. What `given` holds is checked when it is read.

    Examples
    --------
    >>> import numpy as np, phosphene as ph
    >>> ph.images(np.zeros((2, 3, 8, 8)), layout="channel-first")
    Images of numpy ndarray, layout='channel-first'
    """
    if isinstance(given, Images):
        raise InvalidParameter(
            "given", allowed="what holds images", received=given, fix="It is declared already: use it as it is."
        )
    rule = fit if isinstance(fit, Fit) or fit is None else Fit(choice("fit", fit, ("crop", "pad", "stretch")))
    if fraction is not None:
        rule = Fit(**{**(vars(rule) if rule else {}), "fraction": fraction})
    if (mean is None) != (std is None):
        raise InvalidParameter(
            "std" if std is None else "mean",
            allowed="mean and std, or neither",
            received=None,
            fix="Give both: the images were normalised as (x - mean) / std.",
        )
    if layout is not None:
        choice("layout", layout, LAYOUTS, fix=f"Leave it out, or choose {listed(LAYOUTS)}.")
    for name, value in (("column", column), ("identity", identity)):
        if value is not None:
            text(name, value, fix=f"Leave {name} out for the default.")
    return Images(
        given,
        rule=rule,
        layout=layout,
        mean=() if mean is None else numbers("mean", mean),
        std=() if std is None else numbers("std", std, minimum=0.0, open_minimum=True),
        column=column,
        count=None if count is None else integer("count", count, minimum=1),
        identity=identity,
    )


def of_length(given: ImagesLike, length: int) -> ImagesLike:
    """The images, of which there are `length` if they are an iterable without a length of its own."""
    stated = given if isinstance(given, Images) else Images(given)
    held = stated.given
    sized = hasattr(held, "__len__") or isinstance(held, (str, Path, Source)) or not hasattr(held, "__iter__")
    return given if sized or stated.count is not None else replace(stated, count=length)
