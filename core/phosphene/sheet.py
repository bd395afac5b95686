"""`render_all`: a picture of every unit of a layer, in batches that are kept, and a sheet to look through."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from phosphene.activations import ImagesLike
from phosphene.ascent import Progress
from phosphene.backend import Network
from phosphene.draws import integer
from phosphene.errors import CorruptFile, InvalidParameter, OtherStore, said
from phosphene.files import load_renders, save_renders
from phosphene.objectives import channel
from phosphene.objectives.declarations import layer_shape
from phosphene.progress import reporter
from phosphene.rendering import canvas_size, render
from phosphene.results import Renders, Units, joined
from phosphene.types import Size
from phosphene.units import units
from phosphene.writing import check_writable, write_whole

__all__ = ["FLAT", "render_all"]

log = logging.getLogger("phosphene.sheet")

BATCH = 32
FORMAT = 1
FLAT = 0.01
"""Standard deviation of a picture below which it shows nothing."""

OWN = frozenset({"steps", "preset", "parameterization", "transforms", "regularizers", "optimizer", "rule", "warm_up"})
"""Of `phosphene.render`, what may be given here too."""


def render_all(
    network: Network,
    layer: str,
    out: str | Path,
    *,
    images: ImagesLike | None = None,
    channels: Sequence[int] | None = None,
    size: int | Size | None = None,
    seed: int = 0,
    batch: int = BATCH,
    progress: Callable[[Progress], bool | None] | bool | None = None,
    **recipe: Any,
) -> Renders:
    """A picture of every unit of a layer: batch by batch into a folder, and a page on which to search, sort and filter them.

    Called again, it goes on where it was stopped or killed: batches that are there are not made again, and what comes out is what
    one run would have made. Where memory does not suffice, a batch is halved, and the manifest says so.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    layer : str
        Path of the layer.
    out : path
        A folder: ``index.html``, ``manifest.json`` and an archive a batch.
    images : array-like, path, sequence or iterable, optional
        As of `phosphene.activations`: units that are dead on all of them are said, not drawn, and the sheet shows beside each
        picture what excites the unit most among them.
    channels : sequence of int, optional
        Which; all when absent.
    size, seed, progress
        As of `phosphene.render`.
    batch : int, default 32
        Units computed side by side. Rounding depends on it, so it is part of what the folder holds.
    **recipe
        ``steps``, ``preset``, ``parameterization``, ``transforms``, ``regularizers``, ``optimizer``, ``rule``, ``warm_up``: as of
        `phosphene.render`.

    Returns
    -------
    Renders
        Of the units that were drawn, by channel; ``.settings["said"]`` tells of the others why not.

    Raises
    ------
    UnknownLayer, InvalidParameter
        For a layer that is not there, and for parameters outside what is allowed.
    OtherStore
        When the folder holds pictures of another model, layer or recipe.
    UnwritablePath
        When it cannot be written.
    """
    for name in recipe:
        if name not in OWN:
            raise InvalidParameter("recipe", allowed=", ".join(sorted(OWN)), received=name, fix="See help(ph.render).")
    canvas = canvas_size(network, size)
    with network.scope():
        count = layer_shape(network, network.shapes(canvas), layer)[-1]
    wanted = list(range(count)) if channels is None else [integer("channels", index) for index in channels]
    if not wanted or len(set(wanted)) != len(wanted) or max(wanted) >= count:
        raise InvalidParameter(
            "channels", allowed=f"different channels, 0 to {count - 1}", received=list(channels or ()),
            fix="Leave it out for all of them.",
        )  # fmt: skip
    folder = Path(out)
    check_writable(folder / "index.html")
    report = None if images is None else units(network, images, layer, progress=progress)
    silent = set() if report is None else {int(index) for index in report.dead}
    drawn = [index for index in wanted if index not in silent]
    identity = {
        "fingerprint": network.fingerprint(), "backend": network.backend.name, "dtype": network.dtype, "layer": layer,
        "size": list(canvas), "seed": integer("seed", seed), "recipe": {name: repr(recipe[name]) for name in sorted(recipe)},
        "units": drawn, "batch": integer("batch", batch, minimum=1),
    }  # fmt: skip
    manifest = Manifest.at(folder, identity)
    done: list[Renders] = []
    with reporter(progress, "render_all", len(drawn)) as tell:
        told = Counted(tell, len(drawn))
        while not told.stopped and (batch_now := manifest.next_batch(len(done))) is not None:
            path, members = folder / batch_now.name(identity), batch_now.channels
            kept = _kept(path, members)
            if kept is None:
                told.done, told.batch = sum(map(len, done)), len(members)
                try:
                    kept = render(
                        network, [channel(layer, index) for index in members], size=canvas, seed=seed, slots=len(members),
                        progress=told, **recipe,
                    )  # fmt: skip
                except Exception as error:
                    if not out_of_memory(error) or len(members) < 2:
                        raise
                    log.warning("memory did not suffice for %d units at once: the batch is halved", len(members))
                    manifest = manifest.halved(len(done))
                    continue
                if "interrupted" in kept.status:
                    break  # half a picture is not kept: the next call makes it whole
                save_renders(kept, path)
            done.append(kept)
    return _finish(folder, layer, done, sorted(silent & set(wanted)), report, drawn)


@dataclass(frozen=True)
class Batch:
    """Units that are computed side by side."""

    channels: tuple[int, ...]

    def name(self, identity: dict[str, Any]) -> str:
        """Of its file: by content, so that a batch of other units or another recipe is never taken for it."""
        text = json.dumps([identity, self.channels], sort_keys=True)
        return f"{self.channels[0]:05d}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}.npz"


@dataclass(frozen=True)
class Manifest:
    """What the folder is of, and which units share a batch."""

    folder: Path
    identity: dict[str, Any]
    batches: tuple[Batch, ...]

    @staticmethod
    def at(folder: Path, identity: dict[str, Any]) -> Manifest:
        """That which is there, if it is of the same work; a new one where there is none."""
        path = folder / "manifest.json"
        if not path.exists():
            channels, size = identity["units"], identity["batch"]
            batches = [Batch(tuple(channels[start : start + size])) for start in range(0, len(channels), size)]
            return Manifest(folder, identity, tuple(batches)).written()
        try:
            text = json.loads(path.read_text())
            theirs, batches = text["identity"], [Batch(tuple(map(int, row))) for row in text["batches"]]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFile(str(path), f"not the manifest of such a folder, or damaged ({error})") from error
        for key, value in json.loads(json.dumps(identity)).items():
            if theirs.get(key) != value:
                raise OtherStore(
                    f"out: {folder} holds pictures of other work: its {key} is {theirs.get(key)!r:.80}, and now it is "
                    f"{value!r:.80}. Choose another folder, or delete that one."
                )
        return Manifest(folder, identity, tuple(batches))

    def next_batch(self, done: int) -> Batch | None:
        """The one after the first `done`."""
        return self.batches[done] if done < len(self.batches) else None

    def halved(self, index: int) -> Manifest:
        """The same with that batch in two halves, and all after it no larger."""
        size = -(-len(self.batches[index].channels) // 2)
        rest = [
            Batch(batch.channels[start : start + size])
            for batch in self.batches[index:]
            for start in range(0, len(batch.channels), size)
        ]
        return replace(self, batches=(*self.batches[:index], *rest)).written()

    def written(self) -> Manifest:
        """Itself, now in its folder."""
        text = {"format": FORMAT, "identity": self.identity, "batches": [batch.channels for batch in self.batches]}
        write_whole(self.folder / "manifest.json", json.dumps(text, indent=1).encode())
        return self


@dataclass
class Counted:
    """What batches tell of their steps, as so many pictures of all; it remembers that it was told to stop."""

    tell: Callable[[Progress], bool | None]
    total: int
    done: int = 0
    batch: int = 0
    stopped: bool = False
    started: float = field(default_factory=time.perf_counter)

    def __call__(self, state: Progress) -> bool | None:
        done = self.done + self.batch * state.done // max(1, state.total)
        answer = self.tell(Progress(done, self.total, "pictures", time.perf_counter() - self.started))
        self.stopped = answer is False
        return answer


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception of whatever framework says that memory did not suffice."""
    text = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or any(
        sign in text for sign in ("outofmemory", "out of memory", "resource_exhausted", "can't allocate memory")
    )


def _kept(path: Path, channels: tuple[int, ...]) -> Renders | None:
    if not path.exists():
        return None
    try:
        found = load_renders(path)
    except CorruptFile:
        log.warning("%s is damaged and is made again", path)
        return None
    return found if len(found) == len(channels) else None


def _finish(
    folder: Path, layer: str, done: list[Renders], silent: list[int], report: Units | None, drawn: list[int]
) -> Renders:
    """The pictures that show something, the reasons why others are not among them, and the page."""
    from phosphene.pages.sheet import sheet_page

    if not done:
        raise InvalidParameter(
            "channels", allowed="at least one unit that is not dead", received=said(f"{len(silent)} dead ones"),
            fix="A unit that no image excites has no picture; other images might.",
        )  # fmt: skip
    found = joined(done)
    reasons = dict.fromkeys(silent, f"dead on all {report.images:,} images") if report is not None else {}
    shown = []
    for row, index in enumerate(drawn[: len(found)]):
        if found.status[row] == "dead":
            reasons[index] = "no gradient ever reached the image"
        elif float(found.images[row].std()) < FLAT:
            reasons[index] = f"its picture stayed flat ({found.status[row]})"
        else:
            shown.append(row)
    channels = [drawn[row] for row in shown]
    kept = found.rows(shown)
    settings = {
        **kept.settings, "layer": layer, "channels": channels,
        "said": {str(index): reason for index, reason in sorted(reasons.items())},
    }  # fmt: skip
    kept = replace(kept, settings=settings)
    write_whole(folder / "index.html", sheet_page(kept, channels, reasons, report).encode())
    return kept
