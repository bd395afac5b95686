"""`Renders`: the pictures that an ascent made, with all that is known of how far to trust them.

Drawing and file formats live in `phosphene.plots` and `phosphene.files`, which are imported when they are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.types import Floats

if TYPE_CHECKING:
    from phosphene.backend import Network
    from phosphene.results.trust_cards import TrustCards

__all__ = ["Renders", "as_picture", "from_picture", "joined"]


@dataclass(frozen=True)
class Renders:
    """Pictures that an ascent made, with all that is known of how far to trust them.

    Attributes
    ----------
    images : (N, H, W, C) float32
        In [0, 1].
    values : (N,)
        The objective on the clean image, untransformed.
    history : (steps, N)
        The objective during the ascent, under that step's transforms; NaN where a target made no step.
    labels : tuple of str
        One title a picture.
    status : tuple of str
        "converged" (it stopped rising), "budget" (it used all its steps), "dead" (its unit never had a gradient),
        "nonfinite" (a value or gradient was not finite) or "interrupted".
    steps : (N,) int
        Gradient evaluations each picture took.
    awake_at : (N,) int
        First step at which the unit had a gradient of its own; -1 for never.
    scores : mapping of str to (N,)
        Further measures, such as "cosine" of an inversion.
    settings : mapping
        Everything needed to make the pictures again: recipe, seed, size, versions, hash of the weights. Plain JSON.
    seconds, compile_seconds : float
        Wall time, and how much of it went into compiling.
    snapshots : (S, N, H, W, C) uint8, optional
        The pictures on their way, where `phosphene.render` was asked for them.
    opacity : (N, H, W) float32, optional
        How much gradient ever reached each pixel, for pictures by phases (`phosphene.maco`): low where the unit does not look.
    parameters : (N, ...), optional
        Of the pictures, from which an ascent can go on; kept in an archive, not in a PNG.
    """

    images: NDArray[np.float32]
    values: Floats
    history: Floats
    labels: tuple[str, ...]
    status: tuple[str, ...]
    steps: NDArray[np.int64]
    awake_at: NDArray[np.int64]
    scores: Mapping[str, Floats]
    settings: Mapping[str, Any]
    seconds: float = 0.0
    compile_seconds: float = field(default=0.0)
    snapshots: NDArray[np.uint8] | None = field(default=None, repr=False)
    opacity: NDArray[np.float32] | None = field(default=None, repr=False)
    parameters: Floats | None = field(default=None, repr=False)

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether the objective had levelled off: its last eighth rose less than 2% above the eighth before, ``(N,)``."""
        answers = []
        for column, steps in zip(self.history.T, self.steps, strict=True):
            part = max(1, int(steps) // 8)
            if steps < 2 * part or not np.all(np.isfinite(column[steps - 2 * part : steps])):
                answers.append(False)
                continue
            late, before = column[steps - part : steps].mean(), column[steps - 2 * part : steps - part].mean()
            answers.append(bool(late - before <= 0.02 * abs(before)))
        return np.asarray(answers, np.bool_)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int | slice) -> Renders:
        count = len(self)
        return self.rows(range(count)[index] if isinstance(index, slice) else [range(count)[index]])

    def rows(self, numbers: Sequence[int]) -> Renders:
        """Those pictures alone, in that order."""
        rows = list(numbers)
        return Renders(
            images=self.images[rows],
            values=self.values[rows],
            history=self.history[:, rows],
            labels=tuple(self.labels[row] for row in rows),
            status=tuple(self.status[row] for row in rows),
            steps=self.steps[rows],
            awake_at=self.awake_at[rows],
            scores={name: score[rows] for name, score in self.scores.items()},
            settings=self.settings,
            seconds=self.seconds,
            compile_seconds=self.compile_seconds,
            snapshots=None if self.snapshots is None else self.snapshots[:, rows],
            opacity=None if self.opacity is None else self.opacity[rows],
            parameters=None if self.parameters is None else self.parameters[rows],
        )

    def animate(self, path: str | Path, *, seconds: float = 4.0) -> Path:
        """Write the snapshots as an animation, all pictures in a grid.

        Parameters
        ----------
        path : str or Path
            Ends in .gif, .webp or .png (animated PNG). Written whole or not at all.
        seconds : float, default 4
            Of one run, above 0; the last picture stays for a quarter more.

        Returns
        -------
        Path

        Raises
        ------
        InvalidParameter
            For another ending, or where no snapshots were kept.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.files import save_animation

        return save_animation(self, path, seconds)

    def trust(self, network: Network, images: Any = "photos:1000", **options: Any) -> TrustCards:
        """How far each picture can be trusted: `phosphene.assess` of these pictures.

        Parameters
        ----------
        network : Network
            That they are of.
        images : array-like, path, sequence or iterable, default "photos:1000"
            What the network is used on.
        **options
            Of `phosphene.assess`.

        Returns
        -------
        TrustCards
        """
        from phosphene.trust import assess

        return assess(network, self, images, **options)

    def plot(self, *, columns: int | None = None, titles: bool = True) -> Any:
        """Draw the pictures as a grid with their titles and values.

        Parameters
        ----------
        columns : int, optional
            Pictures a row; about a square when absent.
        titles : bool, default True
            Whether labels and values stand above the pictures.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.plots import plot_renders

        return plot_renders(self, columns=columns, titles=titles)

    def save(self, path: str | Path) -> Path:
        """Write to a ``.png`` (8-bit pictures in a grid, settings and figures inside) or a ``.npz`` (everything, exactly).

        Parameters
        ----------
        path : str or Path
            Ends in .png or .npz. Written whole or not at all.

        Returns
        -------
        Path

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.files import save_renders

        return save_renders(self, path)

    @staticmethod
    def load(path: str | Path) -> Renders:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or Path
            A .png or .npz.

        Returns
        -------
        Renders

        Raises
        ------
        CorruptFile
            When it cannot be read or was not written by `save`.
        """
        from phosphene.files import load_renders

        return load_renders(path)

    def _repr_png_(self) -> bytes:
        from phosphene.files import grid_png

        return grid_png(self.images)

    def __repr__(self) -> str:
        count, height, width = self.images.shape[:3]
        lines = [
            f"Renders of {count} picture{'s' * (count != 1)}, {height} x {width}, {int(self.steps.max(initial=0))} steps"
        ]
        width_of = max((len(label) for label in self.labels), default=0)
        for row, label in enumerate(self.labels[:12]):
            extra = "".join(f"  {name} {score[row]:.3f}" for name, score in self.scores.items())
            lines.append(f"  {label:<{width_of}}  {self.values[row]:>10.4g}  {self.status[row]}{extra}")
        if count > 12:
            lines.append(f"  ... and {count - 12} more")
        return "\n".join(lines)


def joined(parts: Sequence[Renders]) -> Renders:
    """Results one after the other, of one size and of as many steps; settings are those of the first."""
    first = parts[0]

    def rows(name: str, axis: int = 0) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else np.concatenate(values, axis=axis)

    return Renders(
        images=rows("images"),
        values=rows("values"),
        history=rows("history", 1),
        labels=tuple(label for part in parts for label in part.labels),
        status=tuple(status for part in parts for status in part.status),
        steps=rows("steps"),
        awake_at=rows("awake_at"),
        scores={name: np.concatenate([part.scores[name] for part in parts]) for name in first.scores},
        settings=first.settings,
        seconds=sum(part.seconds for part in parts),
        compile_seconds=sum(part.compile_seconds for part in parts),
        snapshots=rows("snapshots", 1),
        opacity=rows("opacity"),
        parameters=rows("parameters"),
    )


def as_picture(image: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """An image as a person can look at it: grey and RGB as they are, any other channels side by side in grey.

    Parameters
    ----------
    image : (H, W, C)
        In [0, 1].

    Returns
    -------
    numpy.ndarray (H', W', 1 or 3)
    """
    height, width, channels = image.shape
    if channels in (1, 3):
        return np.asarray(image, np.float32)
    columns = math.ceil(math.sqrt(channels))
    rows = math.ceil(channels / columns)
    picture = np.ones((rows * (height + 1) - 1, columns * (width + 1) - 1, 1), np.float32)
    for channel, place in enumerate(_panels((height, width, channels))):
        picture[*place, 0] = image[..., channel]
    return picture


def from_picture(picture: NDArray[np.floating[Any]], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """The inverse of `as_picture`: the image ``(H, W, C)`` of `shape` that was shown."""
    if shape[-1] in (1, 3):
        return np.asarray(picture, np.float32)
    return np.stack([picture[*place, 0] for place in _panels(shape)], axis=-1).astype(np.float32)


def _panels(shape: tuple[int, int, int]) -> list[tuple[slice, slice]]:
    """Rows and columns of the panel of each channel; one pixel lies between two."""
    height, width, channels = shape
    columns = math.ceil(math.sqrt(channels))
    corners = [((channel // columns) * (height + 1), (channel % columns) * (width + 1)) for channel in range(channels)]
    return [(slice(top, top + height), slice(left, left + width)) for top, left in corners]
