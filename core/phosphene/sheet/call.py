"""`render_all`: a picture of every unit of a layer, computed in batches that are kept, and a contact sheet."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.errors import CorruptFile, InvalidParameter, said
from phosphene.failures import lacks_memory
from phosphene.kit.checks import a_network, boolean, canvas_size, choice, integer, ranges, seed_of
from phosphene.kit.locks import Stopped, alone
from phosphene.kit.places import given_path
from phosphene.kit.progress import Progress, reporter
from phosphene.kit.writing import check_writable, write_whole
from phosphene.objectives import channel
from phosphene.objectives.declarations import layer_shape
from phosphene.objectives.targets import MOST
from phosphene.rendering.call import render
from phosphene.rendering.presets import preset_named
from phosphene.rendering.recipe import MOST_STEPS, recipe_of
from phosphene.rendering.result import Renders, joined
from phosphene.sheet.batches import Manifest
from phosphene.sheet.cards import cards_of
from phosphene.trust.natural_images import real_images
from phosphene.trust.result import TrustCard
from phosphene.types import Size
from phosphene.unit_statistics.call import units
from phosphene.unit_statistics.result import Units
from phosphene.words import plain_name

__all__ = ["FLAT", "render_all"]

log = logging.getLogger("phosphene.sheet.call")

BATCH = 32
LOCK = ".manifest.json.lock"
FLAT = 0.01
"""Standard deviation below which a picture is considered flat."""

OWN = frozenset({"steps", "preset", "parameterization", "transforms", "regularizers", "optimizer", "rule", "warm_up"})
"""Arguments of `phosphene.render` that are accepted here."""


def render_all(
    network: Network,
    layer: str,
    out: str | Path,
    *,
    images: ImagesLike | None = None,
    channels: int | str | Sequence[int] | None = None,
    trust: bool = False,
    size: int | Size | None = None,
    seed: int = 0,
    batch: int = BATCH,
    progress: Callable[[Progress], bool | None] | bool | None = None,
    **recipe: Any,
) -> Renders:
    """Render a picture of every unit of a layer into a folder, with a page to search, sort and filter them.

    An interrupted run resumes when it is called again: finished batches are reused, and the result is the same as that of a
    single run. If another process is at it, this one waits and reuses its pictures. If memory does not suffice, batches are
    halved, which the manifest records.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    layer : str
        Path of the layer.
    out : str or Path
        Output folder, for ``index.html``, ``manifest.json`` and one archive per batch.
    images : images, optional
        Anything that `phosphene.images` takes. Units that are dead on all of these images are listed instead of
        rendered, if the layer has a floor at zero (see `phosphene.units`), and the sheet shows the image patches that activate
        each unit most beside its picture.
    channels : int, str or sequence of int, optional
        Channels to render (default: all); text as on the command line, such as ``"0-15,20"``.
    trust : bool, default False
        Whether to assess how far each picture can be trusted, by `phosphene.assess` with two seeds. Requires `images`, which are
        held in memory, and twice as many pictures. The trust cards are kept in the folder.
    size, seed, progress
        See `phosphene.render`.
    batch : int, default 32
        Units per batch. Rounding depends on it, so a run can only be resumed with the same value.
    **recipe
        ``steps``, ``preset``, ``parameterization``, ``transforms``, ``regularizers``, ``optimizer``, ``rule``, ``warm_up``: see
        `phosphene.render`.

    Returns
    -------
    Renders
        The pictures, one per rendered channel. ``.settings["said"]`` has the reason for every channel without a picture, and
        with `trust`, ``.settings["trust"]`` has a verdict and a score for each picture.

    Raises
    ------
    UnknownLayer, InvalidParameter
        For an unknown layer and for invalid parameters.
    OtherStore
        When the folder holds pictures of another model, layer or recipe.
    UnwritablePath
        When the folder cannot be written.
    """
    a_network(network)
    for name in recipe:
        choice("recipe", name, sorted(OWN), fix="help(ph.render) explains these arguments.")
    seed = seed_of(seed, ahead=1)
    canvas = canvas_size(network, size)
    with network.scope():
        count = layer_shape(network, network.shapes(canvas), layer)[-1]
    wanted = list(range(count)) if channels is None else list(ranges("channels", channels, count))
    if not wanted or len(set(wanted)) != len(wanted) or max(wanted) >= count:
        raise InvalidParameter(
            "channels",
            allowed=f"distinct channels from 0 to {count - 1}, at least one",
            received=channels,
            fix="Leave it out to render all channels.",
        )
    folder = given_path(out, "out")
    check_writable(folder / "index.html")
    _check_recipe(network, canvas, recipe)
    natural = None
    if boolean("trust", trust):
        if images is None:
            raise InvalidParameter(
                "trust",
                allowed="False, or True together with images",
                received=said("True without images"),
                fix='Give images like those that the network is used on, for example images="pictures/".',
            )
        images = natural = real_images(network, images)
    report = None if images is None else units(network, images, layer, progress=progress)
    silent = set() if report is None else {int(index) for index in report.dead}
    drawn = [index for index in wanted if index not in silent]
    identity = {
        "fingerprint": network.fingerprint(),
        "backend": network.backend.name,
        "dtype": network.dtype,
        "layer": layer,
        "size": list(canvas),
        "seed": seed,
        "recipe": {name: repr(recipe[name]) for name in sorted(recipe)},
        "images": None if report is None else report.settings["pixels"],
        "units": drawn,
        "batch": integer("batch", batch, minimum=1, limit=MOST),
    }
    Manifest.at(folder, identity)  # another run is refused before any waiting
    work = f"render_all of {layer!r}"
    with (
        suppress(Stopped),
        alone(folder / LOCK, work, progress, total=(1 + trust) * len(drawn), unit="pictures") as say,
    ):
        manifest = Manifest.at(folder, identity)  # which the process that was waited for may have written
        runs: list[list[Renders]] = []
        with reporter(progress, "render_all", (1 + trust) * len(drawn)) as tell:
            told = Counted(tell, (1 + trust) * len(drawn), say=say)
            for number in range(1 + trust):
                if number == 0 or sum(map(len, runs[0])) == len(drawn):
                    done, manifest = _batches(network, manifest, seed + number, told, recipe)
                    runs.append(done)
        cards = None
        if natural is not None and drawn and len(runs) == 2 and sum(map(len, runs[1])) == len(drawn):
            cards = cards_of(network, folder, [joined(run) for run in runs], identity, natural, progress)
        return _finish(folder, layer, runs[0], sorted(silent & set(wanted)), report, drawn, cards)
    raise _stopped_early()


def _check_recipe(network: Network, canvas: Size, recipe: Mapping[str, Any]) -> None:
    """Check the arguments that are passed on to `phosphene.render`, before anything is written or computed."""
    given = dict.fromkeys(("steps", "parameterization", "transforms", "regularizers", "optimizer", "rule")) | dict(
        recipe
    )
    preset, warm_up = given.pop("preset", None), given.pop("warm_up", None)
    named = preset_named("default" if preset is None else preset, canvas, network.input.size)
    recipe_of(network, named, **given)
    if warm_up is not None:
        integer("warm_up", warm_up, limit=MOST_STEPS)


def _batches(
    network: Network, manifest: Manifest, seed: int, told: Counted, recipe: dict[str, Any]
) -> tuple[list[Renders], Manifest]:
    """Load or render all batches of one seed, until `told` stops the run.

    Returns the manifest as well, in which batches were halved if memory did not suffice.
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
                    network,
                    [channel(layer, index) for index in members],
                    size=canvas,
                    seed=seed,
                    slots=len(members),
                    progress=told,
                    **recipe,
                )
            except Exception as error:
                if not lacks_memory(error) or len(members) < 2:
                    raise
                log.warning("out of memory with %d units per batch: the batch is halved", len(members))
                manifest = manifest.halved(len(done))
                if own:  # the manifest describes the pictures, not those of the second seed
                    manifest.written()
                continue
            if "interrupted" in kept.status:
                break  # unfinished pictures are not kept: the next call renders them
            kept.save(path)
        if not done and own:  # not before the first batch: a recipe that raised must not block a corrected one
            manifest.written()
        done.append(kept)
        told.say(before + sum(map(len, done)))
    told.done, told.batch = before + sum(map(len, done)), 0
    return done, manifest


@dataclass
class Counted:
    """Converts the progress of batches to a number of pictures, and remembers whether the run was stopped.

    `say` is called with the number of finished pictures after each batch.
    """

    tell: Callable[[Progress], bool | None]
    total: int
    done: int = 0
    batch: int = 0
    stopped: bool = False
    say: Callable[[int], None] = lambda done: None
    started: float = field(default_factory=time.perf_counter)

    def __call__(self, state: Progress) -> bool | None:
        done = self.done + self.batch * state.done // max(1, state.total)
        answer = self.tell(Progress(done, self.total, "pictures", time.perf_counter() - self.started))
        self.stopped = answer is False
        return answer


def _kept(path: Path, channels: tuple[int, ...]) -> Renders | None:
    if not path.exists():
        return None
    try:
        found = Renders.load(path)
    except CorruptFile:
        log.warning("%s is damaged and is rendered again", plain_name(path))
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
    """Select the pictures that are not flat, list the reasons for missing ones, and write the page."""
    from phosphene.sheet.page import sheet_page

    if not done and drawn:
        raise _stopped_early()
    if not done:
        raise InvalidParameter(
            "channels",
            allowed="at least one unit that is not dead",
            received=said(f"{len(silent)} dead unit{'s' * (len(silent) != 1)}"),
            fix="Choose other channels, or images that activate these.",
        )
    found = joined(done)
    reasons = dict.fromkeys(silent, f"dead on all {report.images:,} images") if report is not None else {}
    shown = []
    for row, index in enumerate(drawn[: len(found)]):
        if found.status[row] == "dead":
            reasons[index] = "its gradient was zero at every step"
        elif float(found.images[row].std()) < FLAT:
            reasons[index] = f"its picture is flat ({found.status[row]})"
        else:
            shown.append(row)
    channels = [drawn[row] for row in shown]
    kept = found.rows(shown)
    settings = {
        **kept.settings,
        "layer": layer,
        "channels": channels,
        "said": {str(index): reason for index, reason in sorted(reasons.items())},
    }
    own = None if cards is None else [cards[row] for row in shown]
    if own is not None:
        settings["trust"] = [
            {"word": card.word, "score": None if math.isnan(card.score) else card.score, "reason": card.reason}
            for card in own
        ]
    kept = replace(kept, settings=settings)
    write_whole(folder / "index.html", sheet_page(kept, channels, reasons, report, own).encode())
    return kept


def _stopped_early() -> InvalidParameter:
    return InvalidParameter(
        "progress",
        allowed="a stop after the first batch is finished",
        received=said("a stop before that"),
        fix="Call it again to resume, or set a smaller batch.",
    )
