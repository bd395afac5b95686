"""`compare`: networks side by side, by the same targets and the same images, across frameworks."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from phosphene.backend import Network
from phosphene.comparison.layer_vectors import blocks, default_layers, sources_for
from phosphene.comparison.result import Comparison
from phosphene.comparison.similarity import LEAST, Alignment, Correlation, centred_gram, matched
from phosphene.data.declaration import ImagesLike
from phosphene.data.digests import Digests, digest_of_all
from phosphene.errors import InvalidImages, InvalidParameter, ModelWarning, PhospheneError, said
from phosphene.kit.arguments import optional_integer
from phosphene.kit.checks import canvas_size, choice, is_network, one_per, seed_of, sequence
from phosphene.kit.checks import names as names_in
from phosphene.kit.finite import NotFinite
from phosphene.kit.progress import Progress, check_progress, reporter
from phosphene.kit.provenance import describe
from phosphene.objectives import Objective, channel
from phosphene.objectives.location import ShapesAt
from phosphene.objectives.targets import target_objective
from phosphene.rendering.call import render
from phosphene.rendering.presets import preset_names
from phosphene.rendering.result import Renders
from phosphene.types import Floats, Size, UserObjective

__all__ = ["compare"]

FEWEST = 8
"""Smallest number of images for comparing layers; with fewer the result is dominated by chance."""

MOST_NETWORKS, MOST_TARGETS = 1000, 10_000
"""Largest numbers of networks and of targets of a call."""

RENDER_PARAMETERS = frozenset(
    {"parameterization", "transforms", "regularizers", "optimizer", "rule", "warm_up", "patience", "slots", "crop"}
)
"""Parameters of `phosphene.render` that are passed on, for all networks alike."""

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
    """Compare networks by the pictures of the same targets, and by their layers over the same images.

    Layers are compared by debiased linear centred kernel alignment (Kornblith et al. 2019); without debiasing, a few images make
    any two layers look alike (Song et al. 2012; Nguyen et al. 2021). Activations are averaged over positions first (for
    transformers, over the patch tokens). Channels are matched one to one by their correlation over images (Li et al. 2016); with
    many channels and few images matches arise by chance, so give more images than channels.

    Parameters
    ----------
    networks : sequence of Network
        At least two, on any backends; the first is compared with each of the others.
    targets : class, objective, or a sequence of them, optional
        Class names or indices, objectives or functions that all networks have; each is rendered for each network.
    images : images, optional
        Anything that `phosphene.images` takes, if it can be read more than once; at least 8 images. All networks get the
        same ones: pictures and files are fitted to the input size of each network, arrays are resized bilinearly.
    layers : sequence, optional
        One path or list of paths per network, compared over `images` (default: up to 12 from the input to the output): for two
        networks, ``["stage2", "stage3"]`` is stage2 of the first and stage3 of the second, and ``[["stage2", "stage3"]] * 2`` both
        layers of both.
    units : int, optional
        Number of best-matched pairs of channels to render for two networks: channels of the layer that `layers` names for each
        network, or of the last one of a list.
    size, steps, preset, seed
        As in `phosphene.render` (default size: each network's own).
    progress : callable or bool, optional
        See `phosphene.render`; called for the images first, then for the pictures of each network.
    **recipe
        ``parameterization``, ``transforms``, ``regularizers``, ``optimizer``, ``rule``, ``warm_up``, ``patience``, ``slots`` and
        ``crop``, as in `phosphene.render`.

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidParameter
        For fewer than two networks, neither targets nor images, and parameters outside their range.
    UnknownLayer, UnknownClass
        For a layer or class that one of the networks does not have; the message names the network.
    InvalidImages
        For fewer than 8 images, and for images of the wrong shape, dtype or range.
    MissingDependency
        For `units` when SciPy, which comes with scikit-learn, is not installed.

    Warns
    -----
    ModelWarning
        For activations that are NaN or infinite, which are left out, and for `layers` of different names that all networks have.
    """
    nets = _networks(networks)
    names = names_of(nets)
    wanted = _targets(targets)
    if not wanted and images is None:
        raise InvalidParameter(
            "targets",
            allowed="targets, images or both",
            received=said("neither"),
            fix='ph.compare([a, b], ["coins"]) compares pictures; with images="photos:200" it compares layers.',
        )
    for name in recipe:
        choice("recipe", name, sorted(RENDER_PARAMETERS), fix="See help(ph.render).")
    units, seed = optional_integer("units", units, minimum=1), seed_of(seed)
    optional_integer("steps", steps, minimum=1)
    if preset is not None:
        choice("preset", preset, preset_names())
    check_progress(progress)
    paths = _paths(nets, names, layers, images, units)
    canvases = [canvas_size(network, size) for network in nets]
    for network, name, canvas in zip(nets, names, canvases, strict=True):
        with naming(name), network.scope():
            for one in wanted:  # before anything is rendered, which may take minutes
                one.bind(network, ShapesAt(network, canvas))
    found, data = _Similarities({}, 0, np.empty((0, 0))), ""
    if images is not None:
        sources = sources_for(images, nets)
        data = sources[0].identity()
        if len(sources[0]) < FEWEST:
            raise InvalidImages(
                "images",
                allowed=f"at least {FEWEST} images",
                received=said(f"{len(sources[0])}"),
                fix="Give more: with so few, layers look alike by chance.",
            )
        found = _over_images(nets, names, sources, paths, units is not None, progress)
    pairs, values = matched(found.correlation) if units is not None else (np.empty((0, 2), np.int64), np.empty(0))
    drawn = pairs[: units or 0]
    renders: list[Renders] = []
    for index, (network, name) in enumerate(zip(nets, names, strict=True)):
        own = [*wanted, *(channel(paths[index][-1], int(pair[index])) for pair in drawn)]
        options: dict[str, Any] = {"size": canvases[index], "steps": steps, "preset": preset, "seed": seed, **recipe}
        if own:
            with naming(name):
                renders.append(render(network, own, progress=progress, **options))
    rows = [" / ".join(dict.fromkeys(found.labels[row] for found in renders)) for row in range(len(wanted))]
    for pair, value in zip(drawn, values, strict=False):
        rows.append(f"{_pair_title(paths, pair)}\ncorrelation {value:.2f}")
    settings = {
        "networks": [describe(network, seed, canvas) for network, canvas in zip(nets, canvases, strict=True)],
        "data": data,
        "pixels": found.pixels,
        "layers": [list(own) for own in paths],
        "targets": [repr(one) for one in wanted],
        "units": units,
        **({"run": {key: renders[0].settings["run"][key] for key in ("preset", "recipe", "steps")}} if renders else {}),
    }
    return Comparison(
        names,
        tuple(renders),
        tuple(rows),
        found.similarity,
        paths if images is not None else (),
        pairs,
        values,
        found.images,
        settings,
    )


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the name of a network in front of the errors raised within."""
    try:
        yield
    except PhospheneError as error:
        error.args = (f"{name}: {error}",)
        raise


def names_of(networks: Sequence[Network]) -> tuple[str, ...]:
    """Make the names of networks distinct: by framework if there are several, by what differs, or else by a number.

    What can differ between networks of one name is the number of their parameters, their input size and their weights.
    """
    names = [network.name for network in networks]
    if len({network.backend.name for network in networks}) > 1:
        names = [f"{network.name} ({network.backend.name})" for network in networks]
    for detail_of in (_parameters, _size, _weights):
        if len(set(names)) == len(names):
            break
        own = [
            detail_of(network) if names.count(name) > 1 else "" for network, name in zip(networks, names, strict=True)
        ]
        told = [f"{name}, {detail}" if detail else name for name, detail in zip(names, own, strict=True)]
        # A detail that all networks of one name share tells nothing.
        names = [
            longer if len({other for base, other in zip(names, told, strict=True) if base == name}) > 1 else name
            for name, longer in zip(names, told, strict=True)
        ]
    return tuple(
        f"{name} {names[: index + 1].count(name)}" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    )


def _parameters(network: Network) -> str:
    count = sum(math.prod(shape) for shape in network.weight_shapes().values())
    return f"{count / 1e6:.1f} M parameters" if count >= 1e6 else f"{count:,} parameters"


def _size(network: Network) -> str:
    return f"{network.input.size[0]} x {network.input.size[1]} pixels"


def _weights(network: Network) -> str:
    return f"weights {network.fingerprint()[:6]}"


def _pair_title(paths: Sequence[tuple[str, ...]], pair: Any) -> str:
    """``stage3 : 25 and 21``; layers of different names are on separate lines."""
    if paths[0][-1] != paths[1][-1]:
        return "\n".join(f"{own[-1]} : {index}" for own, index in zip(paths, pair, strict=True))
    return f"{paths[0][-1]} : " + " and ".join(dict.fromkeys(str(index) for index in pair))


@dataclass(frozen=True)
class _Similarities:
    """Similarity of layers over images, and correlation of the channels of two of them (empty if not requested)."""

    similarity: dict[tuple[int, int], Floats]
    images: int
    correlation: Floats
    pixels: str = ""
    """Digest of the images."""


def _networks(networks: Any) -> list[Network]:
    fix = "Wrap each model first: ph.wrap(model, size=(224, 224))."
    single = is_network(networks)
    nets = [networks] if single else list(sequence("networks", networks, "a list of networks", fix, most=MOST_NETWORKS))
    for network in nets:
        if not is_network(network):
            raise InvalidParameter("networks", allowed="Network objects", received=network, fix=fix)
    if len(nets) < 2:
        raise InvalidParameter(
            "networks",
            allowed="at least two networks",
            received=said(f"{len(nets)}"),
            fix="For example ph.compare([net_a, net_b], ...).",
        )
    return nets


def _targets(targets: Any) -> list[Objective]:
    if targets is None:
        return []
    fix = 'For example targets=["coins"].'
    single = isinstance(targets, (str, int, np.integer, Objective)) or callable(targets)
    given = (
        (targets,) if single else sequence("targets", targets, "a target, or a list of targets", fix, most=MOST_TARGETS)
    )
    if not given:
        raise InvalidParameter("targets", allowed="at least one target, or None", received=targets, fix=fix)
    return [target_objective(one, "targets") for one in given]


def _paths(
    nets: Sequence[Network], names: Sequence[str], layers: Any, images: Any, units: Any
) -> tuple[tuple[str, ...], ...]:
    """Paths of the layers to compare, per network; each must exist, and have channels that can be averaged over positions."""
    if images is None and (layers is not None or units is not None):
        raise InvalidParameter(
            "images",
            allowed="images over which layers and units are compared",
            received=None,
            fix='For example images="photos:200".',
        )
    if images is None:
        return ()
    if units is not None and (layers is None or len(nets) != 2):
        raise InvalidParameter(
            "units",
            allowed="two networks and a layer of each",
            received=said(f"{len(nets)} networks and " + ("layers" if layers is not None else "no layers")),
            fix='For example ph.compare([a, b], images=..., layers=["stage3", "stage3"], units=8).',
        )
    if layers is None:
        return tuple(default_layers(network) for network in nets)
    fix = 'For two networks, for example, layers=["stage3", "stage3"].'
    allowed = "a list with one path, or list of paths, per network"
    layers = one_per("layers", sequence("layers", layers, allowed, fix), len(nets), "network")
    paths = tuple(names_in("layers", own, fix=fix) for own in layers)
    _warn_of_mix_up(nets, names, layers)
    for network, name, own in zip(nets, names, paths, strict=True):
        with naming(name):
            for path in own:
                if "channel" not in network.layers[path].axes or network.layers[path].windows > 1:
                    raise InvalidParameter(
                        "layers",
                        allowed="layers with channels",
                        received=said(f"{path!r}, whose axes are {', '.join(network.layers[path].axes)}"),
                        fix="Attention maps and windows cannot be compared: choose another layer.",
                    )
            if not own:
                raise InvalidParameter(
                    "layers",
                    allowed="at least one layer",
                    received=own,
                    fix="net.layers lists the paths of all layers.",
                )
    return paths


def _warn_of_mix_up(nets: Sequence[Network], names: Sequence[str], layers: Sequence[Any]) -> None:
    """Warn if `layers` names one other layer per network although all networks have all of them."""
    if not all(isinstance(path, str) for path in layers) or len(set(layers)) == 1:
        return
    if all(path in network.layers for network in nets for path in layers):
        read = " and ".join(f"{path!r} of {name}" for path, name in zip(layers, names, strict=True))
        warnings.warn(
            f"layers: one layer per network is read, {read}, although each network has all of these layers. To compare all of "
            f"them, give a list of paths per network: layers={[list(layers)] * len(nets)}.",
            ModelWarning,
            stacklevel=4,
        )


def _over_images(
    nets: Sequence[Network],
    names: Sequence[str],
    sources: Sequence[Any],
    paths: Sequence[tuple[str, ...]],
    units: bool,
    progress: Callable[[Progress], bool | None] | bool | None,
) -> _Similarities:
    """Compare layers in one pass over the images, block by block; only sums over blocks are kept."""
    sums = {(0, other): Alignment.zeros(len(paths[0]), len(paths[other])) for other in range(1, len(nets))}
    channels = Correlation()
    start, seen, total = time.perf_counter(), 0, len(sources[0])
    finite = [NotFinite(name) for name in names]
    digests = Digests()
    readers = [
        blocks(network, source, own, counted, digests if number == 0 else None)
        for number, (network, source, own, counted) in enumerate(zip(nets, sources, paths, finite, strict=True))
    ]
    with reporter(progress, "compare", total) as tell:
        while seen < total:
            block = []
            for reader, name in zip(readers, names, strict=True):
                with naming(name):
                    block.append(next(reader))
            count = len(block[0][0])
            if count >= LEAST:  # a shorter last block has no estimate
                grams = [np.stack([centred_gram(vectors) for vectors in own]) for own in block]
                for (one, other), running in sums.items():
                    running.update(grams[one], grams[other])
            if units:
                channels.update(block[0][-1], block[1][-1])
            seen += count
            if tell(Progress(seen, total, "images", time.perf_counter() - start)) is False:
                break
    for counted in finite:
        counted.warn(stacklevel=4)
    matrices: dict[tuple[int, int], Floats] = {pair: running.matrix() for pair, running in sums.items()}
    correlation = channels.matrix() if units else np.empty((0, 0))
    return _Similarities(matrices, seen, correlation, digest_of_all(digests.taken()))
