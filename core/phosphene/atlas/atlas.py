"""The atlas in a folder: its steps are read on demand."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.atlas.cells import Grid, level_missing
from phosphene.atlas.clustering import Clusters
from phosphene.atlas.icon_set import Icons, icons_from, icons_of, step_name
from phosphene.atlas.labels import Labels
from phosphene.atlas.layout import Layout
from phosphene.atlas.measures import Measures
from phosphene.atlas.neighbours import Neighbours
from phosphene.atlas.patches import Patches
from phosphene.atlas.points import POINTS, left_out
from phosphene.atlas.steps import Kept, Steps, identity_of
from phosphene.atlas.whitening import Moments, Whitening
from phosphene.errors import InvalidParameter, OtherStore, said
from phosphene.extraction.collection import fill
from phosphene.kit.arguments import array_like
from phosphene.kit.checks import LARGEST_SIDE, choice, instance, integer, one_per
from phosphene.kit.checks import names as names_in
from phosphene.kit.places import given_path
from phosphene.store import ArraySpec, Manifest, Store
from phosphene.types import Floats
from phosphene.words import plain_message

Made = TypeVar("Made")

if TYPE_CHECKING:
    from phosphene.backend import Network
    from phosphene.data.declaration import ImagesLike

__all__ = ["Atlas", "an_atlas"]

SHARD_ROWS = 4096
ACTIVATION = "activation."


@dataclass(frozen=True)
class Atlas:
    """An activation atlas in a folder; see `open`, `build` and `from_activations`. Steps are read on demand.

    Attributes
    ----------
    folder : Path
    store : Store
        The points; see `phosphene.atlas.collect`.
    steps : Steps
        The results computed from them; see `phosphene.atlas.chart`.
    """

    folder: Path
    store: Store
    steps: Steps

    @staticmethod
    def open(path: str | Path) -> Atlas:
        """Open the atlas in a folder.

        Parameters
        ----------
        path : str or Path
            Folder of the atlas.

        Returns
        -------
        Atlas

        Raises
        ------
        CorruptFile
            When the folder holds no atlas.
        OtherStore
            When the folder holds a store of another kind, or one written by a later version.
        """
        folder = given_path(path)
        store = Store.open(folder / POINTS)
        if store.manifest.kind != "atlas":
            raise OtherStore(
                f"{store.folder}: expected the store of an atlas, got one of kind {store.manifest.kind!r}. "
                "Choose the folder of an atlas."
            )
        return Atlas(folder, store, Steps(folder))

    @staticmethod
    def build(
        network: Network, images: ImagesLike, layers: str | Sequence[str], out: str | Path, **options: Any
    ) -> Atlas:
        """Build an atlas from images; see `phosphene.atlas.build`, which lists the options."""
        from phosphene.atlas.call import build

        return build(network, images, layers, out, **options)

    @staticmethod
    def from_activations(
        activations: Mapping[str, ArrayLike] | ArrayLike,
        out: str | Path,
        *,
        images: ArrayLike | None = None,
        logits: ArrayLike | None = None,
        attributions: Mapping[str, ArrayLike] | None = None,
        classes: Sequence[str] = (),
    ) -> Atlas:
        """Create an atlas from activations that were computed elsewhere, by any model of any modality.

        Parameters
        ----------
        activations : array-like (N, C), or mapping of str to array-like (N, C)
            Activations by layer; a single array is the layer named "layer". Row i is the same point in all layers.
        out : str or Path
            Folder of the atlas. If it already holds this atlas, that is returned.
        images : array-like (N,) of int, optional
            Number of the image (or other item of data) of each point (default: 0 to ``N - 1``).
        logits : array-like (N, classes), optional
            The model's output for the image of each point.
        attributions : mapping of str to array-like (N, classes), optional
            Attribution of each point to each class, by layer.
        classes : sequence of str, optional
            Names of the classes.

        Returns
        -------
        Atlas

        Raises
        ------
        InvalidParameter
            For arrays whose shapes do not match, a number of names that differs from the number of classes, and values that
            are infinite or NaN.
        OtherStore
            When `out` holds another atlas.
        UnwritablePath
            When `out` cannot be written.
        """
        layers = _by_layer("activations", activations if isinstance(activations, Mapping) else {"layer": activations})
        if not layers:
            raise InvalidParameter(
                "activations",
                allowed="activations of at least one layer",
                received=activations,
                fix='For example {"stage3": array}.',
            )
        values: dict[str, NDArray[Any]] = {f"{ACTIVATION}{path}": rows for path, rows in layers.items()}
        if attributions is not None:
            values |= {f"attribution.{path}": rows for path, rows in _by_layer("attributions", attributions).items()}
        if logits is not None:
            values["logits"] = as_singles("logits", logits)
        first = next(iter(values.values()))
        count = len(first) if first.ndim else 0
        values["image"] = np.arange(count) if images is None else _numbers_of(images)
        classes = names_in("classes", classes, fix='For example classes=["coins", "grass"].')
        folder = given_path(out, "out")
        _check(values, count, list(classes))
        specs = {name: ArraySpec(rows.shape[1:], str(rows.dtype)) for name, rows in values.items()}
        manifest = Manifest(
            "atlas",
            count,
            min(count, SHARD_ROWS),
            specs,
            identity={
                "data": {name: _digest(rows) for name, rows in values.items()},
                "layers": list(layers),
                **({"classes": list(classes)} if classes else {}),
            },
            notes={"classes": list(classes), "date": datetime.now(UTC).isoformat(timespec="seconds")},
        )
        store = Store.create(folder / POINTS, manifest)

        def write(say: Callable[[int], None]) -> None:
            for shard in store.missing:
                start, stop = manifest.span(shard)
                store.write(shard, {name: rows[start:stop] for name, rows in values.items()})
                say(shard + 1)

        fill(store, None, "writing points", write, progress=False)
        return Atlas.open(folder)

    def __repr__(self) -> str:
        drawn = [name.partition(".")[2] for name in self.steps.names if name.startswith("grid.")]
        there = "" if self.store.complete else " (incomplete)"
        lines = [f"Atlas of {self.store.manifest.rows:,} points{there} in {self.folder}"]
        for layer in self.layers:
            if layer in drawn:
                grid = self.grid(layer)
                cells = ", ".join(f"{int(level.kept.sum())} of {level.size} x {level.size}" for level in grid.levels)
                lines.append(f"  {layer}: cells {cells}")
            else:
                lines.append(f"  {layer}: not charted yet")
        return plain_message("\n".join(lines))

    def view(
        self,
        path: str | Path,
        *,
        layers: Sequence[str] | str | None = None,
        beside: Mapping[str, Atlas] | None = None,
        max_mb: float = 25.0,
        crop: float | Mapping[str, float] | None = None,
        title: str | None = None,
    ) -> Path:
        """Write the atlas as one interactive page that works offline; see `phosphene.atlas.viewer.view`."""
        from phosphene.atlas.viewer import view

        return view(self, path, layers=layers, beside=beside, max_mb=max_mb, crop=crop, title=title)

    def _repr_html_(self) -> str | None:
        """The viewer, for notebooks; None before the atlas has a map."""
        from phosphene.atlas.viewer import notebook_frame

        return notebook_frame(self)

    @property
    def layers(self) -> tuple[str, ...]:
        """Paths of the layers, in the order in which they were collected."""
        return tuple(name.removeprefix(ACTIVATION) for name in self.store.names if name.startswith(ACTIVATION))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty if they are not known."""
        return tuple(self.store.manifest.notes.get("classes", ()))

    @property
    def identity(self) -> str:
        """A digest of the origin of the points: model, data, layers, positions."""
        manifest = self.store.manifest
        return identity_of([manifest.kind, manifest.rows, dict(manifest.identity)])

    @property
    def left_out(self) -> dict[str, int]:
        """Number of points that were left out because their activation was infinite or NaN, by layer."""
        return left_out(self.store)

    def activations(self, layer: str) -> NDArray[np.float32]:
        """Activations ``(N, C)``."""
        return self._read(ACTIVATION, layer)

    def attributions(self, layer: str) -> NDArray[np.floating]:
        """Linear attribution of each point to each class, ``(N, classes)``."""
        return self._read("attribution.", layer)

    def positions(self, layer: str) -> NDArray[np.int32]:
        """Row and column of each point in the layer's grid, ``(N, 2)``."""
        return self._read("position.", layer)

    def images(self) -> NDArray[np.int64]:
        """Number of the image of each point, ``(N,)``."""
        return self.store.read("image")

    def logits(self) -> NDArray[np.floating]:
        """Logits of the image of each point, ``(N, classes)``."""
        return self.store.read("logits")

    def whitening(self, layer: str) -> Whitening:
        """The whitening of a layer's activations."""
        kept = self._step("moments", layer)
        found = self._made("moments", layer, Moments.of)
        return found.whitening(float(kept.settings["ridge"]), layer=layer)

    def neighbours(self, layer: str) -> Neighbours:
        """The nearest neighbours of each point."""
        return self._made("neighbours", layer, Neighbours.of)

    def layout(self, layer: str) -> Layout:
        """The layout of a layer's points on a plane."""
        return self._made("layout", layer, Layout.of)

    def grid(self, layer: str) -> Grid:
        """The cells of a layer's map, at all levels."""
        return self._made("grid", layer, Grid.of)

    def icons(self, layer: str, size: int) -> Icons:
        """The icons of a level; `size` is its number of cells per side."""
        size = integer("size", size, minimum=1)
        level = self.grid(layer).level(size)
        steps = self._icon_steps(layer, size)
        return icons_of(level, [self.steps.read_as(name, partial(icons_from, level)) for name in steps])

    def _icon_steps(self, layer: str, size: int) -> list[str]:
        # One layer may be named "a" and another "a.4", so a prefix does not tell them apart.
        shard = re.compile(re.escape(step_name(layer, size, 0)[:-4]) + r"\d+")
        found = [name for name in self.steps.names if shard.fullmatch(name)]
        if not found:
            self.steps.read(step_name(layer, size, 0))  # raises, and names the missing step
        return sorted(found)

    def measures(self, layer: str) -> Measures:
        """The measures of a layer's layout."""
        return self._made("measures", layer, Measures.of)

    def patches(self, layer: str, size: int) -> Patches:
        """Real image patches of the groups of a level; see `phosphene.atlas.gather_patches`."""
        return self._made("patches", layer, lambda arrays: Patches.of(arrays, integer("size", size, minimum=1)))

    def cell_measures(self, layer: str, size: int) -> dict[str, Floats]:
        """Measures of each cell of a level: "recall", "stretch" (means over its points) and "split_half"."""
        return self._of_level("measures", layer, size, dict)

    def labels(self, layer: str, size: int) -> Labels:
        """Labels of the groups of a level by the network; requires attributions or logits."""
        return self._of_level("labels", layer, size, Labels.of)

    def text_labels(self, layer: str, size: int) -> Labels:
        """Labels of the groups of a level by the user's texts; requires `texts` in `phosphene.atlas.chart`."""
        return self._of_level("text_labels", layer, size, Labels.of)

    def clusters(self, layer: str, size: int) -> Clusters:
        """The named regions of a level."""
        return self._of_level("clusters", layer, size, Clusters.of)

    def report(self, path: str | Path, *, size: int | None = None) -> Path:
        """Write a one-page report of the maps and their measures; see `phosphene.atlas.report.write_report`."""
        from phosphene.atlas.report import write_report

        return write_report(self, path, size=size)

    def export_sheets(self, folder: str | Path) -> Path:
        """Write all icons as PNG sheets with an index; see `phosphene.atlas.sheets.export_sheets`."""
        from phosphene.atlas.sheets import export_sheets

        return export_sheets(self, folder)

    def _read(self, kind: str, layer: str) -> NDArray[Any]:
        """An array of the points of a layer."""
        return self.store.read(kind + self._known(layer))

    def _known(self, layer: str) -> str:
        return choice("layer", layer, self.layers, fix="`Atlas.layers` lists them.")

    def _step(self, name: str, layer: str) -> Kept:
        """The result of a step of a layer."""
        return self.steps.read(f"{name}.{self._known(layer)}")

    def _made(self, name: str, layer: str, make: Callable[[Mapping[str, NDArray[Any]]], Made]) -> Made:
        """What the arrays of a step of a layer make."""
        return self._step(name, layer).made(make)

    def _of_level(self, name: str, layer: str, size: int, make: Callable[[dict[str, NDArray[Any]]], Made]) -> Made:
        """What the arrays of a step make that belong to one level."""
        size = integer("size", size, minimum=1, maximum=LARGEST_SIDE)

        def of(arrays: Mapping[str, NDArray[Any]]) -> Made:
            found = {name.partition(".")[2]: value for name, value in arrays.items() if name.startswith(f"{size}.")}
            if not found:
                sizes = sorted({int(name.partition(".")[0]) for name in arrays if re.match(r"\d+\.", name)})
                raise level_missing(sizes, size)
            return make(found)

        return self._made(name, layer, of)


def an_atlas(value: Any, name: str = "atlas") -> Atlas:
    """Check an atlas."""
    return instance(name, value, Atlas, "an atlas", 'ph.Atlas.open("folder")')


def _by_layer(name: str, given: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float32]]:
    """Check arrays by the paths of layers."""
    if not isinstance(given, Mapping) or not all(isinstance(path, str) and path for path in given):
        raise InvalidParameter(
            name, allowed="arrays by the paths of layers", received=given, fix='For example {"stage3": array}.'
        )
    return {path: as_singles(f"{name}[{path!r}]", rows) for path, rows in given.items()}


def as_singles(name: str, rows: ArrayLike) -> NDArray[np.float32]:
    """Check numbers, and convert them to single precision."""
    with np.errstate(over="ignore"):  # what is infinite then is refused as such
        return array_like(name, rows).astype(np.float32, copy=False)


def _numbers_of(images: ArrayLike) -> NDArray[np.int64]:
    """Check the numbers of images."""
    given = array_like(
        "images", images, kinds="iu", allowed="an array of integers, the number of the image of each point"
    )
    if given.size and (given.min() < 0 or given.max() > np.iinfo(np.int64).max):
        raise InvalidParameter(
            "images", allowed="numbers of images, from 0 on", received=images, fix="Count the images from 0."
        )
    return given.astype(np.int64)


def _check(values: Mapping[str, NDArray[Any]], count: int, classes: list[str]) -> None:
    for name, rows in values.items():
        sides = 1 if name == "image" else 2
        if rows.ndim != sides or len(rows) != count or 0 in rows.shape:
            raise InvalidParameter(
                name,
                allowed=f"shape ({count or 'N'},{' C' if sides == 2 else ''}) with one row per point",
                received=said(f"shape {rows.shape}"),
                fix="Average over positions, or make each position a row.",
            )
        if not np.isfinite(rows).all():
            bad = int((~np.isfinite(rows.reshape(count, -1)).all(axis=1)).sum())
            raise InvalidParameter(
                name,
                allowed="finite numbers",
                received=said(f"{bad} of {count} rows with infinity or NaN"),
                fix="Remove these rows from all arrays.",
            )
        if classes and (name == "logits" or name.startswith("attribution.")) and rows.shape[1] != len(classes):
            one_per("classes", classes, rows.shape[1], f"column of {name}")


def _digest(rows: NDArray[Any]) -> str:
    digest = hashlib.blake2b(str(rows.dtype).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()
