"""An atlas as it lies in a folder: read step by step, when it is asked for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.atlas.cells import Grid
from phosphene.atlas.clustering import Clusters
from phosphene.atlas.collecting import POINTS, left_out
from phosphene.atlas.icon_set import Icons, icons_of, step_name
from phosphene.atlas.labelling import Labels
from phosphene.atlas.layout import Layout
from phosphene.atlas.measures import Measures
from phosphene.atlas.neighbours import Neighbours
from phosphene.atlas.patches import Patches
from phosphene.atlas.steps import Steps, identity_of
from phosphene.atlas.whitening import Moments, Whitening
from phosphene.errors import InvalidParameter, OtherStore, said
from phosphene.store import ArraySpec, Manifest, Store
from phosphene.types import Floats
from phosphene.writing import check_writable

if TYPE_CHECKING:
    from phosphene.activations import ImagesLike
    from phosphene.backend import Network

__all__ = ["Atlas"]

SHARD_ROWS = 4096
ACTIVATION = "activation."


@dataclass(frozen=True)
class Atlas:
    """An atlas in a folder; see `open` and `from_activations`. Nothing is read before it is asked for.

    Attributes
    ----------
    folder : Path
    store : Store
        Its points; see `phosphene.atlas.collect`.
    steps : Steps
        What was made from them; see `phosphene.atlas.chart`.
    """

    folder: Path
    store: Store
    steps: Steps

    @staticmethod
    def open(path: str | Path) -> Atlas:
        """The atlas in a folder.

        Parameters
        ----------
        path : path

        Returns
        -------
        Atlas

        Raises
        ------
        CorruptFile
            When there is none.
        OtherStore
            When there is a store of something else, or one of a later version.
        """
        store = Store.open(Path(path) / POINTS)
        if store.manifest.kind != "atlas":
            raise OtherStore(
                f"{store.folder}: a store of {store.manifest.kind}, not of an atlas. Choose the atlas's folder."
            )
        return Atlas(Path(path), store, Steps(path))

    @staticmethod
    def build(
        network: Network, images: ImagesLike, layers: str | Sequence[str], out: str | Path, **options: Any
    ) -> Atlas:
        """From images to a map with icons, labels and patches: `phosphene.atlas.build`, which lists the options."""
        from phosphene.atlas.building import build

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
        """An atlas of activations from anywhere: of any model, any modality.

        Parameters
        ----------
        activations : array-like (N, C), or mapping of str to it
            By layer; of one layer, which is then called "layer". Rows are the same points in all layers.
        out : path
            Folder of the atlas. When it holds the same already, that is what is returned.
        images : array-like (N,) of int, optional
            Which item of the data each point is of; 0 to ``N - 1`` when absent.
        logits : array-like (N, classes), optional
        attributions : mapping of str to array-like (N, classes), optional
            By layer.
        classes : sequence of str, optional
            Their names.

        Returns
        -------
        Atlas

        Raises
        ------
        InvalidParameter
            For shapes that do not fit together, for names of another number than there are classes, and for values that are
            infinite or NaN.
        OtherStore
            When `out` holds another atlas.
        UnwritablePath
            When it cannot be written.
        """
        layers = activations if isinstance(activations, Mapping) else {"layer": activations}
        values: dict[str, NDArray[Any]] = {
            f"{ACTIVATION}{path}": np.asarray(rows, np.float32) for path, rows in layers.items()
        }
        values |= {f"attribution.{path}": np.asarray(rows, np.float32) for path, rows in (attributions or {}).items()}
        if logits is not None:
            values["logits"] = np.asarray(logits, np.float32)
        count = len(next(iter(values.values()), ()))
        values["image"] = np.arange(count) if images is None else np.asarray(images, np.int64)
        _check(values, count, list(classes))
        specs = {name: ArraySpec(rows.shape[1:], str(rows.dtype)) for name, rows in values.items()}
        manifest = Manifest(
            "atlas", count, min(count, SHARD_ROWS), specs,
            identity={
                "data": {name: _digest(rows) for name, rows in values.items()}, "layers": list(layers),
                **({"classes": list(classes)} if classes else {}),
            },
            notes={"classes": list(classes), "date": datetime.now(UTC).isoformat(timespec="seconds")},
        )  # fmt: skip
        store = Store.create(check_writable(Path(out) / POINTS / "manifest.json").parent, manifest)
        for shard in [*store.verify(), *store.missing]:
            start, stop = manifest.span(shard)
            store.write(shard, {name: rows[start:stop] for name, rows in values.items()})
        return Atlas.open(out)

    def __repr__(self) -> str:
        drawn = [name.partition(".")[2] for name in self.steps.names if name.startswith("grid.")]
        there = "" if self.store.complete else ", not all of them there,"
        lines = [f"Atlas of {self.store.manifest.rows:,} points{there} in {self.folder}"]
        for layer in self.layers:
            if layer in drawn:
                grid = self.grid(layer)
                cells = ", ".join(f"{int(level.kept.sum())} of {level.size} x {level.size}" for level in grid.levels)
                lines.append(f"  {layer}: cells {cells}")
            else:
                lines.append(f"  {layer}: not charted yet")
        return "\n".join(lines)

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
        """Write the atlas as one page that opens from the file, without a network; see `phosphene.viewer.view`."""
        from phosphene.viewer import view

        return view(self, path, layers=layers, beside=beside, max_mb=max_mb, crop=crop, title=title)

    def _repr_html_(self) -> str | None:
        """The atlas in a notebook, once it has a map."""
        from phosphene.viewer import notebook_frame

        return notebook_frame(self)

    @property
    def layers(self) -> tuple[str, ...]:
        """Paths of the layers, in the order in which they were collected."""
        return tuple(name.removeprefix(ACTIVATION) for name in self.store.names if name.startswith(ACTIVATION))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, where they are known."""
        return tuple(self.store.manifest.notes.get("classes", ()))

    @property
    def identity(self) -> str:
        """A digest of what its points are of: model, data, layers, positions."""
        manifest = self.store.manifest
        return identity_of([manifest.kind, manifest.rows, dict(manifest.identity)])

    @property
    def left_out(self) -> dict[str, int]:
        """How many points were left out for each layer, since they were infinite or NaN there."""
        return left_out(self.store)

    def activations(self, layer: str) -> NDArray[np.float32]:
        """Activations ``(N, C)``."""
        return self.store.read(f"{ACTIVATION}{layer}")

    def attributions(self, layer: str) -> NDArray[np.floating]:
        """Linear attribution of each point to each class, ``(N, classes)``."""
        return self.store.read(f"attribution.{layer}")

    def positions(self, layer: str) -> NDArray[np.int32]:
        """Row and column of each point in the layer's grid, ``(N, 2)``."""
        return self.store.read(f"position.{layer}")

    def images(self) -> NDArray[np.int64]:
        """Number of the image that each point is of, ``(N,)``."""
        return self.store.read("image")

    def logits(self) -> NDArray[np.floating]:
        """Logits of the image that each point is of, ``(N, classes)``."""
        return self.store.read("logits")

    def whitening(self, layer: str) -> Whitening:
        """How activations of a layer are whitened."""
        kept = self.steps.read(f"moments.{layer}")
        arrays = kept.arrays
        found = Moments(int(arrays["count"]), arrays["total"], arrays["products"])
        return found.whitening(float(kept.settings["ridge"]), layer=layer)

    def neighbours(self, layer: str) -> Neighbours:
        """The nearest neighbours of each point."""
        arrays = self.steps.read(f"neighbours.{layer}").arrays
        return Neighbours(arrays["indices"], arrays["distances"], str(arrays["metric"]), bool(arrays["exact"]))

    def layout(self, layer: str) -> Layout:
        """Points on a plane."""
        arrays = self.steps.read(f"layout.{layer}").arrays
        return Layout(arrays["points"], arrays["landmarks"], str(arrays["method"]))

    def grid(self, layer: str) -> Grid:
        """The map in cells."""
        return Grid.of(self.steps.read(f"grid.{layer}").arrays)

    def icons(self, layer: str, size: int) -> Icons:
        """Icons of a level."""
        level = self.grid(layer).level(size)
        return icons_of(level, [self.steps.read(name).arrays for name in self._icon_steps(layer, size)])

    def _icon_steps(self, layer: str, size: int) -> list[str]:
        # A layer may be called "a", and another "a.4".
        shard = re.compile(re.escape(step_name(layer, size, 0)[:-4]) + r"\d+")
        found = [name for name in self.steps.names if shard.fullmatch(name)]
        if not found:
            self.steps.read(step_name(layer, size, 0))  # which says what is missing
        return sorted(found)

    def measures(self, layer: str) -> Measures:
        """How far the layout can be trusted."""
        arrays = self.steps.read(f"measures.{layer}").arrays
        return Measures(*(_plain(arrays[each.name]) for each in fields(Measures)))

    def patches(self, layer: str, size: int) -> Patches:
        """Real image patches of the groups of a level; see `phosphene.atlas.gather_patches`."""
        return Patches.of(self.steps.read(f"patches.{layer}").arrays, size)

    def cell_measures(self, layer: str, size: int) -> dict[str, Floats]:
        """Of each cell of a level: "recall", "stretch" (means over its points) and "split_half"."""
        return self._of_level(f"measures.{layer}", size)

    def labels(self, layer: str, size: int) -> Labels:
        """What the network says of each group of a level; there where attributions or logits were collected."""
        return Labels.of(self._of_level(f"labels.{layer}", size))

    def text_labels(self, layer: str, size: int) -> Labels:
        """What texts of the user say of each group of a level; there where `phosphene.atlas.chart` was given some."""
        return Labels.of(self._of_level(f"text_labels.{layer}", size))

    def clusters(self, layer: str, size: int) -> Clusters:
        """The named regions of a level."""
        return Clusters.of(self._of_level(f"clusters.{layer}", size))

    def report(self, path: str | Path, *, size: int | None = None) -> Path:
        """Write the one-page report of the maps, and of how far to trust them; see `phosphene.atlas.reporting.write_report`."""
        from phosphene.atlas.reporting import write_report

        return write_report(self, path, size=size)

    def export_sheets(self, folder: str | Path) -> Path:
        """Write all icons as large pictures with an index; see `phosphene.atlas.sheets.export_sheets`."""
        from phosphene.atlas.sheets import export_sheets

        return export_sheets(self, folder)

    def _of_level(self, step: str, size: int) -> dict[str, NDArray[Any]]:
        """The arrays that a step has of one level."""
        arrays = self.steps.read(step).arrays
        found = {name.partition(".")[2]: value for name, value in arrays.items() if name.startswith(f"{size}.")}
        if not found:
            sizes = sorted({int(name.partition(".")[0]) for name in arrays if re.match(r"\d+\.", name)})
            raise InvalidParameter("size", allowed=" or ".join(map(str, sizes)), received=size, fix="They were cut.")
        return found


def _check(values: Mapping[str, NDArray[Any]], count: int, classes: list[str]) -> None:
    for name, rows in values.items():
        sides = 1 if name == "image" else 2
        if rows.ndim != sides or len(rows) != count or 0 in rows.shape:
            raise InvalidParameter(
                name, allowed=f"shape ({count or 'N'}{', C' if sides == 2 else ''}), a row a point",
                received=said(f"shape {rows.shape}"), fix="Average over positions, or make each of them a row.",
            )  # fmt: skip
        if not np.isfinite(rows).all():
            bad = int((~np.isfinite(rows.reshape(count, -1)).all(axis=1)).sum())
            raise InvalidParameter(
                name, allowed="finite numbers", received=said(f"{bad} of {count} rows with infinity or NaN"),
                fix="Leave these rows out, in all arrays.",
            )  # fmt: skip
        if classes and (name == "logits" or name.startswith("attribution.")) and rows.shape[1] != len(classes):
            raise InvalidParameter(
                "classes", allowed=f"{rows.shape[1]} names, as many as {name} has columns",
                received=said(f"{len(classes)}"), fix="Give one a class.",
            )  # fmt: skip


def _digest(rows: NDArray[Any]) -> str:
    digest = hashlib.blake2b(str(rows.dtype).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()


def _plain(value: NDArray[Any]) -> Any:
    return value.item() if value.ndim == 0 else value
