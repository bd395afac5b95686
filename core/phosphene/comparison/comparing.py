"""`compare`: the same targets, images and units on two networks or more, of whichever framework."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from phosphene.activations import ImagesLike
from phosphene.ascent import Progress
from phosphene.backend import Network
from phosphene.comparison.reading import blocks, default_layers, sources_for
from phosphene.comparison.similarity import LEAST, Agreement, Correlation, centred_gram, matched
from phosphene.draws import integer
from phosphene.errors import InvalidImages, InvalidParameter, PhospheneError, said
from phosphene.objectives import Objective, channel, target_objective
from phosphene.progress import reporter
from phosphene.rendering import canvas_size, describe, render
from phosphene.results import Renders
from phosphene.results.comparison import Comparison
from phosphene.types import Floats, Size, UserObjective

__all__ = ["compare"]

FEWEST = 8
"""Images below which no alignment of layers is told: it would be chance."""

OWN = frozenset(
    {"parameterization", "transforms", "regularizers", "optimizer", "rule", "warm_up", "patience", "slots", "crop"}
)
"""Of `phosphene.render`, what may be given here too, for all networks alike."""

Target = int | str | Objective | UserObjective


def compare(
    networks: Sequence[Network],
    targets: Target | Sequence[Target] | None = None,
    *,
    images: ImagesLike | None = None,
    layers: Sequence[str | Sequence[str]] | None = None,
    units: int | None = None,
    size: int | Size | None = None,
    steps: int | None = None,
    preset: str | None = None,
    seed: int = 0,
    progress: Callable[[Progress], bool | None] | bool | None = None,
    **recipe: Any,
) -> Comparison:
    """Networks side by side: what each wants to see of the same target, and how alike their layers are over the same images.

    Layers are compared by linear centred kernel alignment (Kornblith et al. 2019), debiased, so that few images do not look alike
    by chance (Song et al. 2012; Nguyen et al. 2021). Activations are averaged over positions first, over those of patches where
    there are other tokens as well. Channels are matched one to one by their correlation over images (Li et al. 2016); many
    channels and few images find partners by chance, so give more images than channels.

    Parameters
    ----------
    networks : sequence of Network
        At least two, on any backends: the first is held against each of the others.
    targets : class, objective, or a sequence of them, optional
        Names or indices of classes, objectives or functions that all networks have: each is rendered for each network.
    images : array-like, path, sequence or iterable, optional
        As of `phosphene.activations`; at least 8 that can be gone through again. All networks see the same ones: files are brought
        to the size of each, anything else is resized to it, bilinearly and colour by colour, where it is of another.
    layers : sequence, optional
        For each network a path or a list of paths, to be compared over `images`; up to 12 from the input to the output when absent.
    units : int, optional
        So many best matched pairs of channels of two networks are rendered too: of the layer that `layers` names for each, of the
        last where it names several.
    size, steps, preset, seed
        As of `phosphene.render`; pictures have each network's own size when `size` is absent.
    progress : callable or bool, optional
        See `phosphene.render`; images are told first, then each network's pictures.
    **recipe
        ``parameterization``, ``transforms``, ``regularizers``, ``optimizer``, ``rule``, ``warm_up``, ``patience``, ``slots``,
        ``crop``: as of `phosphene.render`.

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidParameter
        For fewer than two networks, nothing to compare them by, and parameters outside what is allowed.
    UnknownLayer, UnknownClass
        For what one of the networks does not have; the message says which.
    InvalidImages
        For fewer than 8 images, and images of the wrong shape, dtype or range.
    MissingDependency
        For `units` when SciPy, which comes with scikit-learn, is not installed.
    """
    nets = _networks(networks)
    names = names_of(nets)
    wanted = _targets(targets)
    if not wanted and images is None:
        raise InvalidParameter(
            "targets", allowed="targets, images or both", received=said("neither"),
            fix='ph.compare([a, b], ["coins"]) compares pictures, images="photos:200" layers.',
        )  # fmt: skip
    for name in recipe:
        if name not in OWN:
            raise InvalidParameter("recipe", allowed=", ".join(sorted(OWN)), received=name, fix="See help(ph.render).")
    paths = _paths(nets, names, layers, images, units)
    units = None if units is None else integer("units", units, minimum=1)
    seed = integer("seed", seed)
    canvases = [canvas_size(network, size) for network in nets]
    for network, name, canvas in zip(nets, names, canvases, strict=True):
        with said_of(name), network.scope():
            for one in wanted:  # before any of them is rendered, which takes minutes
                one.bind(network, network.shapes(canvas))
    found, data = _Found({}, 0, np.empty((0, 0))), ""
    if images is not None:
        sources = sources_for(images, nets)
        data = sources[0].identity()
        if len(sources[0]) < FEWEST:
            raise InvalidImages(
                "images",
                allowed=f"at least {FEWEST}",
                received=said(f"{len(sources[0])}"),
                fix="Fewer are alike by chance.",
            )
        found = _over_images(nets, names, sources, paths, units is not None, progress)
    pairs, values = matched(found.correlation) if units is not None else (np.empty((0, 2), np.int64), np.empty(0))
    drawn = pairs[: units or 0]
    renders: list[Renders] = []
    for index, (network, name) in enumerate(zip(nets, names, strict=True)):
        own = [*wanted, *(channel(paths[index][-1], int(pair[index])) for pair in drawn)]
        options: dict[str, Any] = {"size": canvases[index], "steps": steps, "preset": preset, "seed": seed, **recipe}
        if own:
            with said_of(name):
                renders.append(render(network, own, progress=progress, **options))
    rows = [" / ".join(dict.fromkeys(found.labels[row] for found in renders)) for row in range(len(wanted))]
    for pair, value in zip(drawn, values, strict=False):
        rows.append(f"{_pair_title(paths, pair)}\ncorrelation {value:.2f}")
    settings = {
        "networks": [
            describe(network, seed, canvas) for network, canvas in zip(nets, canvases, strict=True)
        ],
        "data": data,
        "layers": [list(own) for own in paths],
        "targets": [repr(one) for one in wanted],
        "units": units,
        "recipe": renders[0].settings["recipe"] if renders else {},
        "preset": preset or "default",
    }  # fmt: skip
    return Comparison(
        names, tuple(renders), tuple(rows), found.similarity, paths if images is not None else (), pairs, values,
        found.images, settings,
    )  # fmt: skip


@contextmanager
def said_of(name: str) -> Iterator[None]:
    """Errors within say which network they are about."""
    try:
        yield
    except PhospheneError as error:
        error.args = (f"{name}: {error}",)
        raise


def names_of(networks: Sequence[Network]) -> tuple[str, ...]:
    """A name for each, all different: with its framework where there are several, and a number where that does not do."""
    names = [network.name for network in networks]
    if len({network.backend.name for network in networks}) > 1:
        names = [f"{network.name} ({network.backend.name})" for network in networks]
    return tuple(
        f"{name} {names[: index + 1].count(name)}" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    )


def _pair_title(paths: Sequence[tuple[str, ...]], pair: Any) -> str:
    """``stage3 : 25 and 21``; layers of different names get a line each."""
    if paths[0][-1] != paths[1][-1]:
        return "\n".join(f"{own[-1]} : {index}" for own, index in zip(paths, pair, strict=True))
    return f"{paths[0][-1]} : " + " and ".join(dict.fromkeys(str(index) for index in pair))


@dataclass(frozen=True)
class _Found:
    """What images say: alignment of layers, and correlation of the channels of two of them (empty where not asked for)."""

    similarity: dict[tuple[int, int], Floats]
    images: int
    correlation: Floats


def _networks(networks: Any) -> list[Network]:
    nets = list(networks) if isinstance(networks, (list, tuple)) else [networks]
    for network in nets:
        if not isinstance(network, Network):
            raise InvalidParameter(
                "networks",
                allowed="networks",
                received=network,
                fix="Wrap each model first: ph.wrap(model, size=(224, 224)).",
            )
    if len(nets) < 2:
        raise InvalidParameter(
            "networks",
            allowed="at least two networks",
            received=said(f"{len(nets)}"),
            fix="ph.compare([net_a, net_b], ...)",
        )
    return nets


def _targets(targets: Any) -> list[Objective]:
    if targets is None:
        return []
    given = list(targets) if isinstance(targets, (list, tuple, range)) else [targets]
    if not given:
        raise InvalidParameter("targets", allowed="at least one target, or None", received=targets, fix='["coins"]')
    return [target_objective(one) for one in given]


def _paths(
    nets: Sequence[Network], names: Sequence[str], layers: Any, images: Any, units: Any
) -> tuple[tuple[str, ...], ...]:
    """Paths of the layers to read, for each network: there, and of a kind that can be averaged over positions."""
    if images is None and (layers is not None or units is not None):
        raise InvalidParameter(
            "images",
            allowed="images, over which layers and units are compared",
            received=None,
            fix='images="photos:200"',
        )
    if images is None:
        return ()
    if units is not None and (layers is None or len(nets) != 2):
        raise InvalidParameter(
            "units", allowed="None, or a number with two networks and a layer of each",
            received=said(f"{units!r} with {len(nets)} networks and " + ("layers" if layers is not None else "no layers")),
            fix='ph.compare([a, b], images=..., layers=["stage3", "stage3"], units=8)',
        )  # fmt: skip
    if layers is None:
        return tuple(default_layers(network) for network in nets)
    if isinstance(layers, str) or not isinstance(layers, Sequence) or len(layers) != len(nets):
        count = said(f"{len(layers)} entries") if isinstance(layers, (list, tuple)) else layers
        raise InvalidParameter(
            "layers", allowed=f"{len(nets)} entries, one a network: a path or a list of paths", received=count,
            fix='For two networks layers=["stage3", "stage3"].',
        )  # fmt: skip
    paths = tuple((own,) if isinstance(own, str) else tuple(own) for own in layers)
    for network, name, own in zip(nets, names, paths, strict=True):
        with said_of(name):
            for path in own:
                if "channel" not in network.layers[path].axes or network.layers[path].windows > 1:
                    raise InvalidParameter(
                        "layers", allowed="layers with channels",
                        received=said(f"{path}, whose axes are {', '.join(network.layers[path].axes)}"),
                        fix="Attention maps and windows have none that stand for the whole image.",
                    )  # fmt: skip
            if not own:
                raise InvalidParameter(
                    "layers", allowed="at least one layer", received=own, fix="net.layers lists them."
                )
    return paths


def _over_images(
    nets: Sequence[Network],
    names: Sequence[str],
    sources: Sequence[Any],
    paths: Sequence[tuple[str, ...]],
    units: bool,
    progress: Callable[[Progress], bool | None] | bool | None,
) -> _Found:
    """One pass over the images; all networks see a block of them, and only sums are kept of it."""
    sums = {(0, other): Agreement.start(len(paths[0]), len(paths[other])) for other in range(1, len(nets))}
    channels = Correlation()
    start, seen, total = time.perf_counter(), 0, len(sources[0])
    readers = [blocks(network, source, own) for network, source, own in zip(nets, sources, paths, strict=True)]
    with reporter(progress, "compare", total) as tell:
        while seen < total:
            block = []
            for reader, name in zip(readers, names, strict=True):
                with said_of(name):
                    block.append(next(reader))
            count = len(block[0][0])
            if count >= LEAST:  # the few that may be left at the end of very many have no estimate
                grams = [np.stack([centred_gram(vectors) for vectors in own]) for own in block]
                for (one, other), running in sums.items():
                    running.take(grams[one], grams[other])
            if units:
                channels.take(block[0][-1], block[1][-1])
            seen += count
            if tell(Progress(seen, total, "images", time.perf_counter() - start)) is False:
                break
    matrices: dict[tuple[int, int], Floats] = {pair: running.matrix() for pair, running in sums.items()}
    return _Found(matrices, seen, channels.matrix() if units else np.empty((0, 0)))
