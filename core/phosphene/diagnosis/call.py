"""`diagnose`: find common problems before rendering, each with its fix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.evaluation import run_program
from phosphene.attribution.programs import InputGradient
from phosphene.backend import Network, Rule
from phosphene.concepts.result import LEVEL, Concept
from phosphene.data.declaration import ImagesLike
from phosphene.data.in_memory import read_images
from phosphene.diagnosis.result import Diagnosis, Finding
from phosphene.draws import generator
from phosphene.errors import InvalidParameter, said
from phosphene.extraction.call import read_layers
from phosphene.kit.checks import a_network, seed_of, sequence
from phosphene.layers import OUTPUT
from phosphene.objectives import Objective
from phosphene.objectives.declarations import Bound
from phosphene.objectives.targets import MOST, as_objectives
from phosphene.receptive_field import receptive_field
from phosphene.rules import Redirected
from phosphene.types import Floats, UserObjective

__all__ = ["diagnose"]

NOISE = 8
"""Number of noise images on which gradients are tested; more images make it likelier that a unit is active on one."""

RANGES: dict[str, tuple[Any, Any]] = {
    "mean=0, std=1 (images in [0, 1])": (0.0, 1.0),
    "mean=0.5, std=0.5 (images in [-1, 1])": (0.5, 0.5),
    "mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225) (ImageNet's)": (
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),
    "mean=0, std=1 / 255 (images in [0, 255])": (0.0, 1 / 255),
}
"""The usual input ranges of models, as ``mean`` and ``std`` of images in [0, 1]."""

BETTER, BETTER_TOGETHER = 0.25, 0.1
"""Gain of information, in nats, above which another input range is reported, and if the network is more confident in it as well."""

SURER, ERRORS = 0.05, 3.0
"""Gain in mean confidence that counts, and standard errors by which the predictions must be surer, image by image."""

FEWEST_CLASSES = 10
"""Smallest number of classes for which the input range is tested; a few random outputs are as informative as few classes."""

SHALLOW = 1 / 8
"""Share of the image's side below which a receptive field is too small for a whole object."""


def diagnose(
    network: Network,
    objectives: Objective | UserObjective | Concept | Sequence[Objective | UserObjective | Concept] = (),
    *,
    images: ImagesLike | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Look for common causes of flat, grey or meaningless pictures before rendering.

    Parameters
    ----------
    network : Network
    objectives : objective, function, Concept, or a sequence of them
        Objectives to test: whether a gradient reaches the image, whether the unit is active on noise or on any image, and
        whether the receptive field of its layer is large enough for an object. For a concept also: whether its layer represents
        it, whether its target uses it, and whether it was found in this network.
    images : images, optional
        At least 8 varied images: anything that `phosphene.images` takes. Needed to tell an inactive unit from a dead one, and to
        test the input range.
    seed : int, default 0
        Random seed of the noise.

    Returns
    -------
    Diagnosis
        Findings, most severe first; empty when no problem was found. Its `notes` say what could not be found out.

    Raises
    ------
    InvalidParameter
        For invalid objectives, and for fewer than 8 images.
    UnknownLayer
        For an objective or a concept of a layer that the network does not have.
    """
    a_network(network)
    seed = seed_of(seed)
    single = isinstance(objectives, (str, Objective, Concept)) or callable(objectives)
    fix = 'For example ph.diagnose(net, [ph.channel("stage3", 5)]).'
    given = (objectives,) if single else sequence("objectives", objectives, "objectives", fix, most=MOST)
    concepts = [item for item in given if isinstance(item, Concept)]
    wanted: list[Objective] = []
    for item in given:
        wanted += [item.objective()] if isinstance(item, Concept) else as_objectives(item)
    spec = network.input
    noise = generator(seed, "diagnosis").uniform(0.3, 0.7, (NOISE, *spec.size, spec.channels)).astype(np.float32)
    pictures: NDArray[np.float32] | None = None
    if images is not None:
        pictures = read_images(images, spec)
        if len(pictures) < 8:
            raise InvalidParameter(
                "images",
                allowed="at least 8 images",
                received=said(f"{len(pictures)}"),
                fix="Give about a hundred varied images.",
            )
    found: list[Finding] = []
    notes: list[str] = []
    with network.scope():
        shapes = network.shapes(spec.size)
        bound = [objective.bind(network, shapes) for objective in wanted]
        found += _batch(network, noise)
        found += _modes(network)
        for item in bound:
            found += _gradient(network, item, noise, pictures)
        found += _shallow(network, bound)
    for concept in concepts:
        found += _concept(network, concept)
    off, note = _range(network, pictures)
    found += off
    notes += note
    ranked = tuple(sorted(found, key=lambda finding: -finding.gravity))
    return Diagnosis(network.name, ranked, len(wanted), tuple(notes))


def _batch(network: Network, noise: NDArray[np.float32]) -> Iterator[Finding]:
    """Whether the activations of an image depend on the other images of its batch."""
    last = OUTPUT if OUTPUT in network.layers else list(network.layers)[-1]
    alone = read_layers(network, noise[:1], (last,), 1)[last][0]
    others = np.concatenate([noise[:1], np.clip(noise[1:4] * 3.0 - 1.0, 0, 1)])
    company = read_layers(network, others, (last,), len(others))[last][0]
    if not np.all(np.isfinite(alone)):
        yield _not_finite(network, noise[:1], last)
        return
    apart = float(np.abs(alone - company).max())
    changed = apart > 1e-2 * max(float(np.abs(alone).max()), 1e-6) and not network.findings.random
    if changed or network.findings.mixes_images:
        yield Finding(
            "normalisation over the batch",
            last,
            3,
            f"the output for an image changes by {apart:.2g} with the other images of its batch"
            if changed
            else "the activations of an image depend on the other images of its batch, as was found when it was wrapped",
            "Put the model in evaluation mode: model.eval() in PyTorch, use_running_average=True or deterministic=True in flax.",
        )


def _not_finite(network: Network, images: NDArray[np.float32], last: str) -> Finding:
    """The first layer with values that are NaN or infinite."""
    paths = tuple(network.layers)
    read = read_layers(network, images, paths, 1)
    first = next((path for path in paths if not np.all(np.isfinite(read[path]))), last)
    bad = int((~np.isfinite(read[first])).sum())
    return Finding(
        "not a number",
        first,
        3,
        f"{bad:,} of {read[first].size:,} of its values on noise are NaN or infinite, the first layer with such values",
        "Look for such values in its weights, or use a wider precision: dtype='float32'.",
    )


def _modes(network: Network) -> Iterator[Finding]:
    """What was found about the model when it was wrapped: random numbers, and training mode."""
    if network.findings.random:
        yield Finding(
            "random numbers",
            "model",
            2,
            "it draws random numbers in evaluation mode, as by dropout that is always on, so that one image has many activations",
            "Pictures are optimized over new draws at every step, and repeat with their seed. If it is not meant, pass the mode on "
            "to the dropout: F.dropout(x, training=self.training) in PyTorch, deterministic=True in flax.",
        )
    if network.findings.training:
        yield Finding(
            "training mode",
            "model",
            1,
            "it is in training mode; it is read in evaluation mode, and its mode is not changed",
            "Call model.eval() if you compare results with your own.",
        )


def _gradient(
    network: Network, item: Bound, noise: NDArray[np.float32], pictures: NDArray[np.float32] | None
) -> Iterator[Finding]:
    """Whether a gradient reaches the image: with redirected rules, on noise, on real images."""
    layers = ", ".join(item.form.layers)
    slope, values = _slopes(network, item, noise, None)
    if not np.all(np.isfinite(values)):
        yield Finding(
            "not a number",
            item.label,
            3,
            f"its value on noise is {values[~np.isfinite(values)][0]}",
            "Try dtype='float32', and inspect the layers before it with ph.activations.",
        )
        return
    if slope.max() > 0:
        return
    woken, _ = _slopes(network, item, noise, Redirected())
    if woken.max() == 0:
        yield Finding(
            "no gradient",
            item.label,
            3,
            f"the gradient of {layers} with respect to the image is zero, even when it passes through inactive units",
            "Check that the layer is computed from the image by differentiable operations (no argmax, no rounding).",
        )
        return
    if pictures is None:
        yield Finding(
            "asleep",
            item.label,
            1,
            f"its gradient is zero on {len(noise)} images of noise",
            "The warm-up of ph.render activates it; give images= to find out whether it is active on any.",
        )
        return
    most, _ = _slopes(network, item, pictures, None)
    awake = int((most > 0).sum())
    if awake == 0:
        yield Finding(
            "dead unit",
            item.label,
            2,
            f"its gradient is zero on noise and on all of {len(pictures)} images",
            "Its picture would come from a redirected gradient alone, and is not reliable: choose a unit that is active, which "
            "ph.units finds.",
        )
    else:
        yield Finding(
            "asleep",
            item.label,
            1,
            f"its gradient is zero on noise, but not on {awake} of {len(pictures)} images",
            "The warm-up of ph.render activates it; or start from one of these images with start=.",
        )


def _shallow(network: Network, bound: Sequence[Bound]) -> Iterator[Finding]:
    """Whether the receptive field of a layer is large enough; each layer is measured once."""
    titles: dict[str, list[str]] = {}
    for item in bound:
        if len(set(item.form.layers)) == 1 and network.layers[item.form.layers[0]].spatial:
            titles.setdefault(item.form.layers[0], []).append(item.label)
    for layer, labels in titles.items():
        field = receptive_field(network, layer)
        if all(seen < SHALLOW * side for seen, side in zip(field, network.input.size, strict=True)):
            yield Finding(
                "shallow layer",
                ", ".join(labels),
                1,
                f"the receptive field of {layer} is {field[0]} x {field[1]} of {network.input.size[0]} x {network.input.size[1]} "
                "pixels: expect edges, colours and textures, not whole objects",
                "This is fine for textures. For objects choose a later layer: net.layers lists them in order.",
            )


def _concept(network: Network, concept: Concept) -> Iterator[Finding]:
    """Whether a concept was found in this network, is represented by its layer, and is used by its target."""
    where = f"{concept.layer} / {concept.label}"
    if concept.settings.get("fingerprint", network.fingerprint()) != network.fingerprint():
        yield Finding(
            "other network",
            where,
            2,
            f"it was found in {concept.settings.get('network', 'a network')} with other weights or on another framework, and its "
            "direction means nothing for other channels",
            f"Unless this is a port of that network, find it here: ph.concept(net, {concept.layer!r}, positives, negatives).",
        )
    near = " or ".join(_neighbours(network, concept.layer))
    elsewhere = f"Try ph.concept at {near}" if near else "Try ph.concept at another layer"
    if not concept.p_present < LEVEL:
        yield Finding(
            "concept not there",
            where,
            2,
            f"its accuracy of {concept.accuracy:.1%} is no better than that of random concepts of the same images "
            f"(p = {concept.p_present:.2f}): this layer may be too early or too late for it",
            f"{elsewhere}, or give more examples than {concept.counts.get('positives', 0)} with it and "
            f"{concept.counts.get('negatives', 0)} without.",
        )
    elif concept.target and not concept.p_used < LEVEL:
        yield Finding(
            "concept not used",
            where,
            1,
            f"the layer represents it, but {concept.target} is no more sensitive to it than to random concepts "
            f"(p = {concept.p_used:.2f})",
            f"Its picture says nothing about {concept.target}. {elsewhere}, where it may be used.",
        )


def _neighbours(network: Network, layer: str) -> list[str]:
    """The nearest layers before and after that have channels, and are not nested deeper."""
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


def _range(network: Network, pictures: NDArray[np.float32] | None) -> tuple[list[Finding], list[str]]:
    """Whether the outputs say more about images in another input range; if that cannot be told, a sentence that says why."""
    unknown = "whether the input range (mean and std) is that of training is not known: "
    if OUTPUT not in network.layers or len(network.layers[OUTPUT].shape) != 1:
        return [], [unknown + "the output is not one value per class"]
    if network.layers[OUTPUT].channels < FEWEST_CLASSES:
        return [], [f"{unknown}with fewer than {FEWEST_CLASSES} classes it cannot be told"]
    if pictures is None:
        return [], [unknown + "give images= to test it"]
    scale, offset = (np.asarray(part, np.float64) for part in network.input.affine())
    now = _predictions(network, pictures.astype(np.float64))
    others = {}
    for name, (mean, std) in RANGES.items():
        if np.ndim(mean) and len(mean) != network.input.channels:
            continue
        wanted = (pictures - np.asarray(mean)) / np.asarray(std)
        others[name] = _predictions(network, (wanted - offset) / scale)
    name, best = max(others.items(), key=lambda item: item[1].information)
    surer = now.entropies - best.entropies
    error = float(surer.std(ddof=1)) / np.sqrt(len(surer)) + 1e-12
    clear = best.confidence > now.confidence + SURER and surer.mean() > ERRORS * error
    gain = best.information - now.information
    if gain > BETTER or (gain > BETTER_TOGETHER and clear):
        finding = Finding(
            "input range",
            "images",
            3,
            f"the outputs for {len(pictures)} images carry {now.information:.2f} nats of information about them, with a mean "
            f"confidence of {now.confidence:.1%}; in another range {best.information:.2f} nats, with {best.confidence:.1%}",
            f"If the model was trained with it, wrap it with {name}.",
        )
        return [finding], []
    if now.information < BETTER:
        return [], [
            f"{unknown}in every usual range the outputs say little about these images ({now.information:.2f} nats), as those of a "
            "network that is not trained, or was trained on others"
        ]
    return [], []


@dataclass(frozen=True)
class _Predictions:
    """How much the outputs say about images.

    Attributes
    ----------
    information : float
        Mutual information of output and image in nats: entropy of the mean prediction minus the mean entropy. Confidence alone is
        not enough: a network is confident of one class for all images when its inputs are far too large.
    confidence : float
        Mean probability of the first class.
    entropies : (N,)
        Entropy of the prediction for each image.
    """

    information: float
    confidence: float
    entropies: Floats


def _predictions(network: Network, images: Floats) -> _Predictions:
    raw = read_layers(network, images, (OUTPUT,), min(16, len(images)))[OUTPUT].astype(np.float64)
    if not np.all(np.isfinite(raw)):
        return _Predictions(0.0, 0.0, np.full(len(raw), np.log(raw.shape[1])))
    shares = np.exp(raw - raw.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)

    def entropy(p: Floats) -> Floats:
        result: Floats = -(p * np.log(np.maximum(p, 1e-30))).sum(axis=-1)
        return result

    entropies = entropy(shares)
    information = float(entropy(shares.mean(axis=0)) - entropies.mean())
    return _Predictions(information, float(shares.max(axis=1).mean()), entropies)


def _slopes(network: Network, item: Bound, images: NDArray[np.float32], rule: Rule | None) -> tuple[Floats, Floats]:
    """Largest absolute gradient of each image, and the objective's value, ``(N,)`` each."""
    gradient, values = run_program(network, item, InputGradient(network, item.form, rule), images, NOISE)
    return np.abs(gradient).reshape(len(images), -1).max(axis=1), values
