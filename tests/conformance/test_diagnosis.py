"""What is wrong is found before the work begins, on every backend, and nothing is found where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from chains import chain, rectifier
from columns import REFERENCE
from phosphene import errors
from phosphene.backend import Network
from phosphene.concepts.result import Concept
from phosphene.data.crops import Crops
from phosphene.errors import ModelWarning
from phosphene.findings import Findings
from small_models import linear_convolution

Load = Callable[..., Network]


def kinds(found: ph.Diagnosis) -> list[tuple[str, str]]:
    return [(finding.kind, finding.where) for finding in found.findings]


def test_nothing_is_found_where_nothing_is_wrong(backend: str, load: Load) -> None:
    found = ph.diagnose(
        load("specimen", backend), [ph.logit("coins"), ph.channel("stage2", 5)], images=Crops(72, seed=1).images()
    )
    assert found.findings == () and found.sound and "nothing was found" in repr(found)


def test_a_range_that_the_network_was_not_trained_on(backend: str, load: Load) -> None:
    network = load("specimen", backend)
    spec = network.input
    assert (np.asarray(spec.affine()[0]) != 255).all()
    wrong = ph.wrap(network.model, size=spec.size, mean=0.0, std=1 / 255)  # type: ignore[attr-defined]
    found = ph.diagnose(wrong, images=Crops(72, seed=1).images())
    assert kinds(found) == [("input range", "images")] and not found.sound
    assert "mean=" in found.findings[0].fix


def test_mean_and_std_that_were_forgotten(backend: str, load: Load) -> None:
    """Half the contrast of training costs little accuracy, but much confidence."""
    network, images = load("specimen", backend), Crops(72, seed=1).images()
    spec = network.input
    # Images at half the contrast, so that the usual range of [-1, 1] is that of training.
    mean, std = np.asarray(spec.mean), np.asarray(spec.std)
    paler = np.clip((images - mean) / std / 2 * 0.5 + 0.5, 0, 1).astype(np.float32)
    wrong = ph.wrap(network.model, size=spec.size)  # type: ignore[attr-defined]
    found = ph.diagnose(wrong, images=paler)
    assert kinds(found) == [("input range", "images")] and "mean confidence of" in found.findings[0].said
    right = ph.wrap(network.model, size=spec.size, mean=0.5, std=0.25)  # type: ignore[attr-defined]
    assert ph.diagnose(right, images=paler).findings == ()


def test_what_cannot_be_told_is_said(backend: str, load: Load) -> None:
    found = ph.diagnose(load("specimen", backend))
    assert found.findings == () and "input range (mean and std) is that of training is not known: give images=" in repr(
        found
    )
    few = chain(backend, [("unit", lambda x: x * 2.0)])
    assert "fewer than 10 classes" in repr(
        ph.diagnose(few, images=np.random.default_rng(0).random((8, 8, 8, 3), np.float32))
    )


@pytest.mark.parametrize("found", [{"random": True}, {"mixes_images": True}, {"training": True}])
def test_what_wrapping_found_is_said(backend: str, found: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    network = chain(backend, [("unit", lambda x: x * 2.0)])
    assert ph.diagnose(network).findings == ()
    monkeypatch.setattr(network, "findings", Findings(**found), raising=False)
    kind = {"random": "random numbers", "mixes_images": "normalisation over the batch", "training": "training mode"}
    diagnosis = ph.diagnose(network)
    assert [finding.kind for finding in diagnosis.findings] == [kind[next(iter(found))]]
    assert diagnosis.sound == (list(found) == ["training"])


def test_the_first_layer_that_is_not_finite_is_named(backend: str) -> None:
    network = chain(backend, [("fine", lambda x: x - 2.0), ("root", lambda x: x**0.5), ("end", lambda x: x * 1.0)])
    found = ph.diagnose(network)
    assert (
        kinds(found) == [("not a number", "root")]
        and "of its values on noise are NaN or infinite" in found.findings[0].said
    )


def test_units_that_no_gradient_passes(backend: str) -> None:
    """Three filters behind a rectifier: one awake, one asleep on noise, one that no image in [0, 1] wakes."""
    filters = np.zeros((3, 3, 3, 3), np.float32)
    filters[0] = 1.0
    filters[1, 1, 1, 0], filters[1, 1, 1, 1] = (
        10.0,
        -10.0,
    )  # fires for red without green, which the noise below has nowhere
    filters[2] = -1.0
    network = ph.wrap(linear_convolution(backend, filters), size=8)
    grey = ph.diagnose(network, [ph.channel("conv", index) for index in range(3)])
    assert grey.findings == ()  # linear units always pass a gradient


def test_what_is_not_computed_from_the_image_is_said(backend: str) -> None:
    network = chain(backend, [("constant", lambda x: x * 0.0 + 1.0)])
    found = ph.diagnose(network, ph.channel("constant", 0))
    assert kinds(found) == [("no gradient", "constant : 0")] and "by differentiable operations" in found.findings[0].fix


def test_dead_and_sleeping_units(backend: str) -> None:
    rectified = rectifier(backend)
    asleep = chain(backend, [("unit", lambda x: rectified(x - 0.95))])
    dead = chain(backend, [("unit", lambda x: rectified(x - 2.0))])
    images = np.random.default_rng(0).random((12, 8, 8, 3), np.float32)
    assert kinds(ph.diagnose(asleep, ph.channel("unit", 1))) == [("asleep", "unit : 1")]
    seen = ph.diagnose(asleep, ph.channel("unit", 1), images=images)
    assert kinds(seen) == [("asleep", "unit : 1")] and "of 12 images" in seen.findings[0].said and seen.sound
    assert kinds(ph.diagnose(dead, ph.channel("unit", 1), images=images)) == [("dead unit", "unit : 1")]


def test_normalisation_over_the_batch_is_seen(backend: str) -> None:
    measured = backend != REFERENCE  # which does not look at batches when it wraps
    with pytest.warns(ModelWarning, match="images of") if measured else nullcontext():
        network = chain(backend, [("norm", lambda x: x - x.mean(0))])
    found = ph.diagnose(network)
    assert [finding.kind for finding in found.findings] == ["normalisation over the batch"] and not found.sound


def test_a_layer_that_sees_too_little_for_an_object(backend: str, load: Load) -> None:
    network = load("specimen", backend)
    found = ph.diagnose(network, [ph.channel("stem", 2), ph.neuron("stem", 4), ph.channel("stage2", 5), ph.logit(0)])
    assert kinds(found) == [("shallow layer", "stem : 2, stem : 4 at centre")] and found.sound
    assert "the receptive field of stem is 3 x 3 of 64 x 64 pixels: expect edges" in found.findings[0].said
    assert "a later layer" in found.findings[0].fix
    # Eleven pixels of 64 are more than an eighth, and what looks at several layers is not held against any of them.
    direction = ph.direction("stage1", np.ones(32))
    assert ph.diagnose(network, [direction, ph.channel("stem", 2) - ph.logit(1)]).findings == ()
    assert kinds(ph.diagnose(network, ph.direction("stem", np.ones(24)))) == [("shallow layer", "stem : direction")]


def planted_concept(network: Network, **changes: Any) -> Concept:
    """A concept of stage 2 that is significant, with `changes`."""
    given: dict[str, Any] = {
        "layer": "stage2",
        "label": "mark",
        "vector": np.ones(64) / 8,
        "accuracy": 0.93,
        "accuracy_null": np.full(20, 0.5),
        "p_present": 0.01,
        "sensitivity": 0.5,
        "sensitivity_null": np.zeros(20),
        "p_used": 0.01,
        "target": "coins",
        "counts": {"positives": 12, "negatives": 14, "images": 14},
        "settings": {"fingerprint": network.fingerprint(), "network": network.name},
    }
    return Concept(**(given | changes))


def test_a_concept_that_is_not_there_or_not_used(backend: str, load: Load) -> None:
    network = load("specimen", backend)
    assert ph.diagnose(network, planted_concept(network)).findings == ()
    absent = ph.diagnose(network, [planted_concept(network, p_present=0.4), ph.logit("coins")])
    assert kinds(absent) == [("concept not there", "stage2 / mark")] and absent.objectives == 2 and not absent.sound
    assert "its accuracy of 93.0%" in absent.findings[0].said and "(p = 0.40)" in absent.findings[0].said
    assert "at stage1 or stage3, or give more examples than 12 with it and 14 without" in absent.findings[0].fix
    unused = ph.diagnose(network, planted_concept(network, p_used=0.4))
    assert kinds(unused) == [("concept not used", "stage2 / mark")] and unused.sound
    assert "coins is no more sensitive to it" in unused.findings[0].said
    assert ph.diagnose(network, planted_concept(network, p_used=float("nan"), target="")).findings == ()
    # The first layer has none before it, and a module within a stage may have a neighbour outside of it.
    first = planted_concept(network, layer="stem.conv", vector=np.ones(24), p_present=0.4)
    assert "at stem.norm, or" in ph.diagnose(network, first).findings[0].fix
    inner = planted_concept(network, layer="stage2.conv1", p_present=0.4)
    assert "at stage1 or stage2.norm1, or" in ph.diagnose(network, inner).findings[0].fix


def test_a_concept_of_another_network(backend: str, load: Load) -> None:
    network, other = load("specimen", backend), load("specimen-shortcut", backend)
    found = ph.diagnose(network, planted_concept(other))
    assert kinds(found) == [("other network", "stage2 / mark")] and not found.sound
    assert (
        "found in specimen-shortcut" in found.findings[0].said and "ph.concept(net, 'stage2'" in found.findings[0].fix
    )
    with pytest.raises(errors.InvalidObjective, match="vector: expected 64 numbers"):
        ph.diagnose(network, planted_concept(network, vector=np.ones(7)))
    with pytest.raises(errors.UnknownLayer):
        ph.diagnose(network, planted_concept(network, layer="stage9"))


def test_what_cannot_be_is_refused(backend: str, load: Load) -> None:
    network = load("specimen", backend)
    with pytest.raises(errors.InvalidParameter, match="images: expected at least 8 images"):
        ph.diagnose(network, images=np.full((3, 64, 64, 3), 0.5, np.float32))
    with pytest.raises(errors.UnknownLayer):
        ph.diagnose(network, ph.channel("stage9", 0))
