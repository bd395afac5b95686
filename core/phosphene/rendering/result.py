"""`Renders`: the pictures that gradient ascent made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.arguments import optional_integer, place, places
from phosphene.kit.checks import MOST_COLUMNS, boolean, sequence
from phosphene.kit.places import given_path
from phosphene.kit.result import Result, refuse_options
from phosphene.types import Floats
from phosphene.words import LABEL, aligned, plain_message

if TYPE_CHECKING:
    from phosphene import TrustCards
    from phosphene.backend import Network
    from phosphene.data.declaration import ImagesLike

__all__ = ["Renders", "joined"]


@dataclass(frozen=True)
class Renders(Result):
    """Pictures that gradient ascent made, with their values and settings.

    Attributes
    ----------
    images : (N, H, W, C) float32
        In [0, 1].
    values : (N,)
        The objective on each picture, without transforms.
    history : (steps, N)
        The objective during the ascent, under the transforms of each step; NaN where a target made no step.
    labels : tuple of str
        One title per picture.
    status : tuple of str
        "converged" (the objective stopped rising), "budget" (all steps were used), "dead" (the unit never had a gradient),
        "nonfinite" (a value or gradient was not finite) or "interrupted".
    steps : (N,) int
        Gradient evaluations per picture.
    awake_at : (N,) int
        First step at which the unit had a gradient of its own; -1 if it never had one.
    scores : mapping of str to (N,)
        Further measures, such as "cosine" of an inversion.
    settings : mapping
        Everything that is needed to make the pictures again: recipe, seed, size, versions, hash of the weights. Plain JSON.
    seconds, compile_seconds : float
        Wall time, and the part of it that went into compiling.
    snapshots : (S, N, H, W, C) uint8, optional
        The pictures at S steps of the ascent, if `phosphene.render` was asked for them.
    opacity : (N, H, W) float32, optional
        Accumulated gradient per pixel, for pictures by phases (`phosphene.parameterizations.maco`); low where the unit does not
        look.
    parameters : (N, ...), optional
        Parameters of the pictures, from which an ascent can resume; kept in an archive, not in a PNG.
    """

    kind: ClassVar[str] = "renders"
    endings: ClassVar[tuple[str, ...]] = (".png", ".npz")

    images: Annotated[NDArray[np.float32], "N H W C"]
    values: Annotated[Floats, "N"]
    history: Annotated[Floats, "steps N"]
    labels: Annotated[tuple[str, ...], "N"]
    status: Annotated[tuple[str, ...], "N"]
    steps: Annotated[NDArray[np.int64], "N"]
    awake_at: Annotated[NDArray[np.int64], "N"]
    scores: Annotated[Mapping[str, Floats], "N"]
    settings: Mapping[str, Any]
    seconds: float = 0.0
    compile_seconds: float = 0.0
    snapshots: Annotated[NDArray[np.uint8] | None, "S N H W C"] = field(default=None, repr=False)
    opacity: Annotated[NDArray[np.float32] | None, "N H W"] = field(default=None, repr=False)
    parameters: Annotated[Floats | None, "N ..."] = field(default=None, repr=False)

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether the objective levelled off, ``(N,)``: its mean over the last eighth of the steps rose by at most 2%."""
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
        chosen = places("index", index, len(self))
        return self.rows([chosen] if isinstance(chosen, int) else chosen)

    def rows(self, numbers: Sequence[int]) -> Renders:
        """Select pictures by their index, in the given order; negative indices count from the end."""
        single = isinstance(numbers, (int, np.integer))
        given = [numbers] if single else sequence("numbers", numbers, "a sequence of integers", "For example [0, 2].")
        chosen = [place("numbers", number, len(self)) for number in given]

        def rows(values: Any, axis: int = 0) -> Any:
            return None if values is None else values[(slice(None),) * axis + (chosen,)]

        return replace(
            self,
            images=rows(self.images),
            values=rows(self.values),
            history=rows(self.history, 1),
            labels=tuple(self.labels[row] for row in chosen),
            status=tuple(self.status[row] for row in chosen),
            steps=rows(self.steps),
            awake_at=rows(self.awake_at),
            scores={name: rows(score) for name, score in self.scores.items()},
            snapshots=rows(self.snapshots, 1),
            opacity=rows(self.opacity),
            parameters=rows(self.parameters),
        )

    def animate(self, path: str | Path, *, seconds: float = 4.0) -> Path:
        """Save the snapshots as an animation of all pictures in a grid.

        Parameters
        ----------
        path : str or Path
            Ends in .gif, .webp or .png (animated PNG). The file is written whole or not at all.
        seconds : float, default 4
            Duration of one loop, above 0; the last picture stays for a quarter of it longer.

        Returns
        -------
        Path

        Raises
        ------
        InvalidParameter
            For another ending, or when no snapshots were kept.
        UnwritablePath
            When the file cannot be written.
        """
        from phosphene.rendering.files import save_animation

        return save_animation(self, path, seconds)

    def trust(self, network: Network, images: ImagesLike = "photos:1000", **options: Any) -> TrustCards:
        """Assess how far each picture can be trusted; see `phosphene.assess`.

        Parameters
        ----------
        network : Network
            The network that the pictures were made of.
        images : images, default "photos:1000"
            Anything that `phosphene.images` takes, of the kind that the network is used on.
        **options
            Options of `phosphene.assess`.

        Returns
        -------
        TrustCards
        """
        import phosphene

        return phosphene.assess(network, self, images, **options)

    def plot(self, *, columns: int | None = None, titles: bool = True) -> Any:
        """Draw the pictures in a grid.

        Parameters
        ----------
        columns : int, optional
            Pictures per row (default: a near-square grid).
        titles : bool, default True
            Whether to write labels and values above the pictures.
        """
        from phosphene.rendering.figure import plot_renders

        columns = optional_integer("columns", columns, minimum=1, maximum=MOST_COLUMNS)
        titles = boolean("titles", titles)
        return plot_renders(self, columns=columns, titles=titles)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load what `save` wrote to a ``.npz`` (exactly) or a ``.png`` (8-bit pictures; no snapshots, opacity or parameters).

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Renders

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        CorruptFile
            When the file holds something else, is damaged, or was written by a later version.
        """
        if given_path(path).suffix == ".npz":
            return super().load(path)
        from phosphene.rendering.files import read_png

        return read_png(path)  # type: ignore[return-value]

    def _content(self, ending: str, **options: Any) -> bytes:
        if ending != ".png":
            return super()._content(ending, **options)
        from phosphene.rendering.files import settings_png

        refuse_options(ending, options)
        return settings_png(self)

    def _repr_png_(self) -> bytes:
        from phosphene.kit.pictures import grid_png

        return grid_png(self.images)

    def __repr__(self) -> str:
        count, height, width = self.images.shape[:3]
        lines = [
            f"Renders of {count} picture{'s' * (count != 1)}, {height} x {width}, {int(self.steps.max(initial=0))} steps"
        ]
        for row, label in enumerate(aligned(self.labels[:12], LABEL)):
            extra = "".join(f"  {name} {score[row]:.3f}" for name, score in self.scores.items())
            lines.append(f"  {label}  {self.values[row]:>10.4g}  {self.status[row]}{extra}")
        if count > 12:
            lines.append(f"  ... and {count - 12} more")
        return plain_message("\n".join(lines))


def joined(parts: Sequence[Renders]) -> Renders:
    """Concatenate results of one size and number of steps; the settings are those of the first."""
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
