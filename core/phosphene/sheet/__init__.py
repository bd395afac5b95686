"""`render_all`: a picture of every unit of a layer, in batches that are kept, and a sheet to look through."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from phosphene.activations import ImagesLike
from phosphene.ascent import Progress
from phosphene.backend import Network
from phosphene.draws import integer
from phosphene.errors import CorruptFile, InvalidParameter, said
from phosphene.files import load_renders, save_renders
from phosphene.objectives import channel
from phosphene.objectives.declarations import layer_shape
from phosphene.progress import reporter
from phosphene.rendering import canvas_size, render
from phosphene.results import Renders, TrustCard, Units, joined
from phosphene.sheet.judging import cards_of
from phosphene.sheet.manifest import Manifest
from phosphene.trust.natural import gathered
from phosphene.types import Size
from phosphene.units import units
from phosphene.writing import check_writable, write_whole

__all__ = ["FLAT", "render_all"]

log = logging.getLogger("phosphene.sheet")

BATCH = 32
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
    trust: bool = False,
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
    trust : bool, default False
        Whether the sheet shows how far each picture can be trusted, by `phosphene.assess` with two seeds: it takes images, which
        are held in memory, and twice the pictures. Cards are kept in the folder too.
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
        Of the units that were drawn, by channel; ``.settings["said"]`` tells of the others why not, and with `trust`
        ``.settings["trust"]`` has a word and a score a picture.

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
    natural = None
    if trust:
        if images is None:
            raise InvalidParameter(
                "trust", allowed="True together with images", received=said("True without any"),
                fix='Give those that the network is used on: images="pictures/".',
            )  # fmt: skip
        images = natural = gathered(network, images)
    report = None if images is None else units(network, images, layer, progress=progress)
    silent = set() if report is None else {int(index) for index in report.dead}
    drawn = [index for index in wanted if index not in silent]
    identity = {
        "fingerprint": network.fingerprint(), "backend": network.backend.name, "dtype": network.dtype, "layer": layer,
        "size": list(canvas), "seed": integer("seed", seed), "recipe": {name: repr(recipe[name]) for name in sorted(recipe)},
        "units": drawn, "batch": integer("batch", batch, minimum=1),
    }  # fmt: skip
    manifest = Manifest.at(folder, identity)
    runs: list[list[Renders]] = []
    with reporter(progress, "render_all", (1 + trust) * len(drawn)) as tell:
        told = Counted(tell, (1 + trust) * len(drawn))
        for number in range(1 + trust):
            if number == 0 or sum(map(len, runs[0])) == len(drawn):
                done, manifest = _batches(network, manifest, seed + number, told, recipe)
                runs.append(done)
    cards = None
    if natural is not None and drawn and len(runs) == 2 and sum(map(len, runs[1])) == len(drawn):
        cards = cards_of(network, folder, [joined(run) for run in runs], identity, natural, progress)
    return _finish(folder, layer, runs[0], sorted(silent & set(wanted)), report, drawn, cards)


def _batches(
    network: Network, manifest: Manifest, seed: int, told: Counted, recipe: dict[str, Any]
) -> tuple[list[Renders], Manifest]:
    """All batches of one seed, those that are there and those that are made now, until it is told to stop.

    The manifest that comes back has smaller ones where memory did not suffice.
    """
    identity = {**manifest.identity, "seed": seed}
    own = identity == manifest.identity
    layer, canvas = identity["layer"], tuple(identity["size"])
    done: list[Renders] = []
    before = told.done + told.batch
    while not told.stopped and (batch_now := manifest.next_batch(len(done))) is not None:
        path, members = manifest.folder / batch_now.name(identity), batch_now.channels
        kept = _kept(path, members)
        if kept is None:
            told.done, told.batch = before + sum(map(len, done)), len(members)
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
                if own:  # the manifest is of the pictures that are shown
                    manifest.written()
                continue
            if "interrupted" in kept.status:
                break  # half a picture is not kept: the next call makes it whole
            save_renders(kept, path)
        if not done and own:  # not before: a recipe that was refused must not stand in the way of the right one
            manifest.written()
        done.append(kept)
    told.done, told.batch = before + sum(map(len, done)), 0
    return done, manifest


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
    folder: Path,
    layer: str,
    done: list[Renders],
    silent: list[int],
    report: Units | None,
    drawn: list[int],
    cards: list[TrustCard] | None,
) -> Renders:
    """The pictures that show something, the reasons why others are not among them, and the page."""
    from phosphene.pages.sheet import sheet_page

    if not done and drawn:
        raise InvalidParameter(
            "progress", allowed="a stop after the first batch of pictures", received=said("one before it was finished"),
            fix="Nothing can be shown yet. Call it again, or make the batch smaller.",
        )  # fmt: skip
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
    own = None if cards is None else [cards[row] for row in shown]
    if own is not None:
        settings["trust"] = [
            {"word": card.word, "score": None if math.isnan(card.score) else card.score, "reason": card.reason}
            for card in own
        ]
    kept = replace(kept, settings=settings)
    write_whole(folder / "index.html", sheet_page(kept, channels, reasons, report, own).encode())
    return kept
