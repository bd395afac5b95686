"""`diagnose`: what is wrong before the work begins, each with its fix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.activations import ImagesLike, activations, read_layers
from phosphene.attribution.job import for_all
from phosphene.attribution.programs import Slope
from phosphene.backend import Network, Rule
from phosphene.data.sources import source_of
from phosphene.data.streaming import loaded
from phosphene.draws import generator
from phosphene.errors import InvalidParameter, said
from phosphene.layers import OUTPUT
from phosphene.objectives import Objective, as_objective
from phosphene.objectives.declarations import Bound
from phosphene.receptive_field import receptive_field
from phosphene.results import Concept, Diagnosis, Finding
from phosphene.results.concept import LEVEL
from phosphene.rules import Redirected
from phosphene.types import Floats, UserObjective

__all__ = ["diagnose"]

NOISE = 8
"""Images of noise on which gradients are looked for; each is one more chance for a unit to be awake."""

RANGES: dict[str, tuple[Any, Any]] = {
    "mean=0, std=1 (images in [0, 1])": (0.0, 1.0),
    "mean=0.5, std=0.5 (images in [-1, 1])": (0.5, 0.5),
    "mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225) (ImageNet's)": (
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),
    "mean=0, std=1 / 255 (images in [0, 255])": (0.0, 1 / 255),
}
"""What models are usually trained on, as ``mean`` and ``std`` of images in [0, 1]."""

BETTER = 0.25
"""Nats of information by which another range has to tell images apart better."""


FEWEST_CLASSES = 10

SHALLOW = 1 / 8
"""Share of the image's side below which what a position sees holds no whole object."""


def diagnose(
    network: Network,
    objectives: Objective | UserObjective | Concept | Sequence[Objective | UserObjective | Concept] = (),
    *,
    images: ImagesLike | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Look for what usually makes pictures flat, grey or meaningless, before any time is spent on them.

    Parameters
    ----------
    network : Network
    objectives : objective, function, Concept, or a sequence of them
        Held against the network: does a gradient reach the image, is the unit awake, is it ever, does its layer see enough of the
        image to hold a whole object? Of a concept also: is it there at its layer, does its target make use of it, and was it found
        in this network?
    images : array-like, path, sequence or iterable, optional
        As of `phosphene.activations`; of several kinds, at least 8. Needed to tell a unit that sleeps on noise from a dead one, and
        whether the network takes images in the range that it was trained on.
    seed : int, default 0
        Of the noise.

    Returns
    -------
    Diagnosis
        Findings, the gravest first; empty where nothing was found.

    Raises
    ------
    InvalidParameter
        For objectives that are none, and fewer than 8 images.
    UnknownLayer
        For an objective or a concept of a layer that is not there.
    """
    given = objectives if isinstance(objectives, Sequence) else [objectives]
    concepts = [item for item in given if isinstance(item, Concept)]
    wanted = [item.objective() if isinstance(item, Concept) else as_objective(item) for item in given]
    spec = network.input
    noise = generator(seed, "diagnosis").uniform(0.3, 0.7, (NOISE, *spec.size, spec.channels)).astype(np.float32)
    pictures: NDArray[np.float32] | None = None
    if images is not None:
        source = source_of(images, spec.size, spec.channels)
        pictures = loaded(source, spec.size, spec.channels)
        if len(pictures) < 8:
            raise InvalidParameter(
                "images", allowed="at least 8", received=said(f"{len(pictures)}"), fix="A hundred of several kinds."
            )
    found: list[Finding] = []
    with network.scope():
        shapes = network.shapes(spec.size)
        bound = [objective.bind(network, shapes) for objective in wanted]
        found += _batch(network, noise)
        for item in bound:
            found += _gradient(network, item, noise, pictures)
        found += _shallow(network, bound)
    for concept in concepts:
        found += _concept(network, concept)
    if pictures is not None:
        found += _range(network, pictures)
    return Diagnosis(network.name, tuple(sorted(found, key=lambda finding: -finding.gravity)), len(wanted))


def _batch(network: Network, noise: NDArray[np.float32]) -> Iterator[Finding]:
    """An image must not look different in other company."""
    last = OUTPUT if OUTPUT in network.layers else list(network.layers)[-1]
    alone = activations(network, noise[:1], last, batch=1)[last][0]
    others = np.concatenate([noise[:1], np.clip(noise[1:4] * 3.0 - 1.0, 0, 1)])
    company = activations(network, others, last, batch=len(others))[last][0]
    apart = float(np.abs(alone - company).max())
    if apart > 1e-2 * max(float(np.abs(alone).max()), 1e-6):
        yield Finding(
            "normalisation over the batch", last, 3,
            f"an image changes by {apart:.2g} when others are in its batch, so what excites a unit depends on its company",
            "Put the model in evaluation mode: model.eval() in PyTorch, use_running_average=True or deterministic=True in flax.",
        )  # fmt: skip


def _gradient(
    network: Network, item: Bound, noise: NDArray[np.float32], pictures: NDArray[np.float32] | None
) -> Iterator[Finding]:
    """Whether a gradient arrives: at all, on noise, on real images."""
    layers = ", ".join(item.form.layers)
    slope, values = _slopes(network, item, noise, None)
    if not np.all(np.isfinite(values)):
        yield Finding("not a number", item.label, 3, f"its value on noise is {values[~np.isfinite(values)][0]}",
                      "Try dtype='float32', and look at the layers before it with ph.activations.")  # fmt: skip
        return
    if slope.max() > 0:
        return
    woken, _ = _slopes(network, item, noise, Redirected())
    if woken.max() == 0:
        yield Finding(
            "no gradient", item.label, 3,
            f"nothing that is done to the image moves {layers}, even where closed units let a gradient through",
            "Is the layer computed from the image, by operations that can be differentiated (no argmax, no rounding)?",
        )  # fmt: skip
        return
    if pictures is None:
        yield Finding(
            "asleep", item.label, 1, f"on {len(noise)} images of noise no gradient passes it",
            "ph.render wakes it during its warm-up; give images= to learn whether it is ever awake.",
        )  # fmt: skip
        return
    most, _ = _slopes(network, item, pictures, None)
    awake = int((most > 0).sum())
    if awake == 0:
        yield Finding(
            "dead unit", item.label, 2, f"no gradient passes it on noise, nor on any of {len(pictures)} images",
            "Its picture would be made by a redirected rule alone: trust it little, or choose a unit that ph.units calls live.",
        )  # fmt: skip
    else:
        yield Finding(
            "asleep", item.label, 1, f"on noise no gradient passes it; it is awake on {awake} of {len(pictures)} images",
            "The warm-up of ph.render will wake it, or start from one of these images with start=.",
        )  # fmt: skip


def _shallow(network: Network, bound: Sequence[Bound]) -> Iterator[Finding]:
    """Whether one position of a layer sees enough of the image; of objectives on one layer, each layer measured once."""
    titles: dict[str, list[str]] = {}
    for item in bound:
        if len(set(item.form.layers)) == 1 and network.layers[item.form.layers[0]].spatial:
            titles.setdefault(item.form.layers[0], []).append(item.label)
    for layer, labels in titles.items():
        field = receptive_field(network, layer)
        if all(seen < SHALLOW * side for seen, side in zip(field, network.input.size, strict=True)):
            yield Finding(
                "shallow layer", ", ".join(labels), 1,
                f"a position of {layer} sees {field[0]} x {field[1]} of {network.input.size[0]} x {network.input.size[1]} pixels: "
                "expect edges, colours and textures, no whole objects",
                "That is fine for a texture. For more of an object take a later layer: net.layers lists them in their order.",
            )  # fmt: skip


def _concept(network: Network, concept: Concept) -> Iterator[Finding]:
    """Whether a concept is of this network, is there at its layer, and is used by its target."""
    where = f"{concept.layer} / {concept.label}"
    if concept.settings.get("fingerprint", network.fingerprint()) != network.fingerprint():
        yield Finding(
            "other network", where, 2,
            f"it was found in {concept.settings.get('network', 'a network')} with other weights or on another framework, and a "
            "direction means nothing among other channels",
            f"Unless this is a port of it: ph.concept(net, {concept.layer!r}, positives, negatives) finds it here.",
        )  # fmt: skip
    near = " or ".join(_neighbours(network, concept.layer))
    elsewhere = f"Try ph.concept at {near}" if near else "Try ph.concept at another layer"
    if not concept.p_present < LEVEL:
        yield Finding(
            "concept not there", where, 2,
            f"it is read with an accuracy of {concept.accuracy:.1%}, and random concepts of the same images about as well "
            f"(p = {concept.p_present:.2f}): this layer may be too early or too late for it",
            f"{elsewhere}, or give more examples than {concept.counts.get('positives', 0)} with it and "
            f"{concept.counts.get('negatives', 0)} without.",
        )  # fmt: skip
    elif concept.target and not concept.p_used < LEVEL:
        yield Finding(
            "concept not used", where, 1,
            f"it is there, but {concept.target} moves no more along it than along random ones (p = {concept.p_used:.2f})",
            f"Its picture says nothing about {concept.target}. {elsewhere}, where it may be used.",
        )  # fmt: skip


def _neighbours(network: Network, layer: str) -> list[str]:
    """The nearest layers before and after, as far as there are any: with a channel axis, and no deeper among modules."""
    own, depth = network.layers[layer].path, layer.count(".")
    paths = [
        found.path
        for found in network.layers.values()
        if found.path == own
        or (
            found.path != OUTPUT
            and found.path.count(".") <= depth
            and found.axes[-1] == "channel"
            and found.windows == 1
        )
    ]
    place = paths.index(own)
    return [*paths[max(0, place - 1) : place], *paths[place + 1 : place + 2]]


def _range(network: Network, pictures: NDArray[np.float32]) -> Iterator[Finding]:
    """Whether the network tells images apart better when they come in another range."""
    if OUTPUT not in network.layers or len(network.layers[OUTPUT].shape) != 1:
        return
    if (
        network.layers[OUTPUT].channels < FEWEST_CLASSES
    ):  # a few random weights tell as much about images as a few classes
        return
    scale, offset = (np.asarray(part, np.float64) for part in network.input.affine())
    now = _information(network, pictures.astype(np.float64), scale, offset)
    scores = {}
    for name, (mean, std) in RANGES.items():
        if np.ndim(mean) and len(mean) != network.input.channels:
            continue
        wanted = (pictures - np.asarray(mean)) / np.asarray(std)
        scores[name] = _information(network, (wanted - offset) / scale, scale, offset)
    best = max(scores, key=lambda name: scores[name])
    if scores[best] > now + BETTER:
        yield Finding(
            "input range", "images", 3,
            f"the answers to {len(pictures)} images tell {now:.2f} nats about them; in another range {scores[best]:.2f}",
            f"Wrap the model with {best}, if that is what it was trained on.",
        )  # fmt: skip


def _information(network: Network, images: Floats, scale: Floats, offset: Floats) -> float:
    """How much the answer tells about which image it was: entropy of the mean answer less the mean entropy, in nats.

    Confidence alone would not do: a network that is fed far too large numbers is sure of itself, and says the same of all.
    """
    raw = read_layers(network, images, (OUTPUT,), min(16, len(images)))[OUTPUT].astype(np.float64)
    if not np.all(np.isfinite(raw)):
        return 0.0
    shares = np.exp(raw - raw.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)

    def entropy(p: Floats) -> Floats:
        result: Floats = -(p * np.log(np.maximum(p, 1e-30))).sum(axis=-1)
        return result

    return float(entropy(shares.mean(axis=0)) - entropy(shares).mean())


def _slopes(network: Network, item: Bound, images: NDArray[np.float32], rule: Rule | None) -> tuple[Floats, Floats]:
    """Largest gradient of each image, and its value, ``(N,)`` each."""
    gradient, values = for_all(network, item, Slope(network, item.form, rule), images, NOISE)
    return np.abs(gradient).reshape(len(images), -1).max(axis=1), values
