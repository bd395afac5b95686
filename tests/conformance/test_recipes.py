"""Recipes, rules, starts, snapshots and pictures that depend on each other, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.rendering.presets import preset_named, preset_names
from phosphene.rendering.serialization import recipe_text, to_plain
from small_models import linear_convolution

Load = Callable[..., Network]


CASES = [
    pytest.param(
        backend, preset, marks=pytest.mark.slow if backend == "jax" and preset not in ("default", "plain") else ()
    )
    for backend in ("torch", "jax")
    for preset in preset_names()
    if preset != "maco"
]


@pytest.mark.parametrize(("backend", "preset"), CASES, indirect=["backend"])
def test_every_recipe_climbs_and_says_what_it_is(backend: str, preset: str, load: Load) -> None:
    network = load("specimen", backend)
    recipe = preset_named(preset, (40, 40), (64, 64))
    found = ph.render(network, ph.channel("stage2", 3), size=40, steps=12, preset=preset, progress=False)
    grey = ph.activations(network, np.full((1, 40, 40, 3), 0.5, np.float32), "stage2")["stage2"][0, ..., 3].mean()
    assert found.values[0] > grey and np.ptp(found.images) > 0.01
    assert found.settings["run"]["recipe"]["transforms"] == [to_plain(transform) for transform in recipe.transforms]
    text = recipe_text(found.settings)
    assert text.startswith(f"preset {preset}, 12 steps; ")
    assert all(repr(part) in text for part in (*recipe.transforms, recipe.parameterization, recipe.optimizer))
    assert recipe.source


def test_phases_climb_and_tell_where_the_unit_looks(backend: str, load: Load) -> None:
    """A neuron in a corner: its receptive field is opaque, the rest of the picture is not."""
    network = load("specimen", backend)
    found = ph.render(
        network,
        ph.neuron("stage1", 3, at=(2, 2)),
        size=48,
        steps=10,
        parameterization=ph.parameterizations.maco(),
        transforms=[],
        regularizers=[],
        optimizer=ph.optimizers.nadam(0.2),
        progress=False,
    )
    assert found.opacity is not None and found.opacity.shape == (1, 48, 48)
    assert found.opacity[0, :16, :16].mean() > 0 and found.opacity[0, 30:, 30:].max() == 0
    assert found.history[-1, 0] > found.history[0, 0]


def test_views_are_a_mean_over_draws(costly_backend: str, load: Load) -> None:
    """Without transforms all views are alike: as many as one likes change nothing."""
    network = load("specimen", costly_backend, "float64")
    one = preset_named("plain", (32, 32), (64, 64))
    values = []
    for views in (1, 3):
        from phosphene.rendering import call

        recipe = replace(one, views=views, transforms=())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(call, "preset_named", lambda *_, recipe=recipe: recipe)
            values.append(ph.render(network, [ph.channel("stage1", 2), ph.logit(3)], size=32, steps=4, progress=False))
    np.testing.assert_allclose(values[0].images, values[1].images, atol=1e-9)
    np.testing.assert_allclose(values[0].history, values[1].history, rtol=1e-9)


def test_views_have_draws_of_their_own(backend: str, load: Load) -> None:
    """The value of a step is the mean of what its views show: as many single looks, one after the other."""
    from phosphene.ascent.pipeline import draw, pipeline

    plan = pipeline([ph.transforms.jitter(4), ph.transforms.noise(0.1)], (16, 16), (16, 16))
    several = draw(plan, 0, "target", 5, copies=3)
    assert several[0].shape[:2] == (5, 3) and several[1][0].shape[:2] == (5, 3)
    assert len({tuple(matrix.ravel()) for matrix in several[0].reshape(-1, 2, 3)}) > 10


@pytest.mark.parametrize("rule", ["guided", "deconvolution", "redirected"])
def test_a_rule_acts_at_every_step(rule: str, backend: str, load: Load) -> None:
    network = load("specimen", backend)
    options: dict[str, Any] = {"size": 32, "steps": 6, "transforms": [], "regularizers": [], "progress": False}
    standard, ruled = (ph.render(network, ph.channel("stage2", 3), rule=name, **options) for name in ("standard", rule))
    plain = ph.render(network, ph.channel("stage2", 3), **options)
    np.testing.assert_array_equal(standard.images, plain.images)
    apart = np.abs(ruled.images - plain.images).max()
    # No channel of the specimen sleeps everywhere, so the redirected rule finds nothing to do.
    assert apart == pytest.approx(0, abs=1e-6) if rule == "redirected" else apart > 1e-3
    assert ruled.status == ("budget",) and ruled.awake_at[0] >= 0


def test_an_ascent_goes_on_where_it_was(backend: str, load: Load) -> None:
    network = load("specimen", backend, "float64")
    options: dict[str, Any] = {
        "size": 32,
        "transforms": [],
        "regularizers": [],
        "optimizer": ph.optimizers.sgd(0.5),
        "warm_up": 0,
        "progress": False,
    }
    targets = [ph.channel("stage1", 2), ph.channel("stage1", 5)]
    whole = ph.render(network, targets, steps=12, **options)
    half = ph.render(network, targets, steps=7, **options)
    on = ph.render(network, targets, steps=5, start=half, **options)
    np.testing.assert_allclose(on.images, whole.images, atol=1e-9)  # plain gradient ascent has no memory
    np.testing.assert_allclose(np.concatenate([half.history, on.history]), whole.history, rtol=1e-9)


def test_an_ascent_starts_from_a_photograph(backend: str, load: Load) -> None:
    network = load("specimen", backend)
    photograph = np.random.default_rng(0).uniform(0.1, 0.9, (32, 32, 3)).astype(np.float32)
    still = ph.optimizers.sgd(1e-12)
    for parameterization in (ph.parameterizations.pixel(), ph.parameterizations.fourier()):
        found = ph.render(
            network,
            [ph.channel("stage1", 2), ph.channel("stage1", 3)],
            size=32,
            steps=1,
            start=photograph,
            parameterization=parameterization,
            optimizer=still,
            transforms=[],
            regularizers=[],
            progress=False,
        )
        np.testing.assert_allclose(found.images, [photograph, photograph], atol=1e-3)


def test_snapshots_are_the_pictures_on_the_way(backend: str, load: Load, tmp_path: Path) -> None:
    network = load("specimen", backend, "float64")
    targets = [ph.channel("stage1", index) for index in range(3)]
    options: dict[str, Any] = {
        "size": 32,
        "regularizers": [],
        "transforms": [],
        "warm_up": 0,
        "progress": False,
        "slots": 2,
    }
    found = ph.render(network, targets, steps=20, snapshots=4, **options)
    assert found.snapshots is not None and found.snapshots.shape == (4, 3, 32, 32, 3)
    for moment, steps in enumerate((5, 10, 15, 20)):
        alone = ph.render(network, targets, steps=steps, **options)
        assert np.abs(found.snapshots[moment] / 255 - alone.images).max() <= 0.5 / 255 + 1e-6
    for ending in (".gif", ".webp", ".png"):
        from PIL import Image

        with Image.open(found.animate(tmp_path / f"a{ending}")) as opened:
            assert opened.n_frames == 4
    again = ph.Renders.load(found.save(tmp_path / "a.npz"))
    np.testing.assert_array_equal(again.snapshots, found.snapshots)
    np.testing.assert_array_equal(again.parameters, found.parameters)


@pytest.mark.slow
def test_diverse_pictures_are_less_alike(backend: str, load: Load) -> None:
    network = load("specimen", backend)
    options: dict[str, Any] = {"size": 48, "steps": 40, "progress": False}

    def alike(images: Any) -> float:
        cells = ph.activations(network, images, "stage2")["stage2"]
        cells = cells.reshape(len(cells), -1, cells.shape[-1])
        gram = np.einsum("npc,npd->ncd", cells, cells).reshape(len(cells), -1)
        gram /= np.linalg.norm(gram, axis=1, keepdims=True)
        return float((gram @ gram.T)[np.triu_indices(len(gram), 1)].mean())

    unit = ph.channel("stage3", 7)
    plain = ph.render(network, [unit] * 3, **options)
    apart = ph.render(network, ph.objectives.diverse(unit, 3, "stage2", weight=5.0), **options)
    assert alike(apart.images) < alike(plain.images) - 0.1
    assert apart.labels == ("stage3 : 7, 1", "stage3 : 7, 2", "stage3 : 7, 3")


def test_sets_of_diverse_pictures_do_not_mix(costly_backend: str, load: Load) -> None:
    network = load("specimen", costly_backend, "float64")
    options: dict[str, Any] = {"size": 32, "steps": 6, "progress": False}
    sets = [ph.objectives.diverse(ph.channel("stage2", index), 2, "stage1") for index in (1, 2)]
    together = ph.render(network, [*sets[0], *sets[1]], **options)
    alone = ph.render(network, sets[1], **options)
    np.testing.assert_allclose(together.images[2:], alone.images, atol=1e-9)


def test_a_group_is_the_weighted_mean_of_its_channels(costly_backend: str, load: Load) -> None:
    network = load("specimen", costly_backend, "float64")
    options: dict[str, Any] = {"size": 32, "steps": 5, "progress": False, "transforms": []}
    one = ph.render(network, ph.objectives.group("stage1", {2: 3.0, 5: 1.0}), **options)
    cells = ph.activations(network, one.images, "stage1")["stage1"].mean((1, 2))[0]
    assert one.values[0] == pytest.approx(0.75 * cells[2] + 0.25 * cells[5], rel=1e-5)
    middle = ph.render(network, ph.objectives.group("stage1", [2, 5], at="centre"), **options)
    read = ph.activations(network, middle.images, "stage1")["stage1"][0]
    centre = read[read.shape[0] // 2, read.shape[1] // 2]
    assert middle.values[0] == pytest.approx((centre[2] + centre[5]) / 2, rel=1e-5)


def test_a_pattern_is_found_where_it_was_asked_for(backend: str) -> None:
    """Two filters side by side: the pattern asks for the one to the left of the other."""
    filters = np.random.default_rng(0).standard_normal((2, 5, 5, 3)).astype(np.float32)
    network = ph.wrap(linear_convolution(backend, filters), size=11)
    shape = network.layers["conv"].shape
    pattern = np.zeros(shape)
    row, left, right = shape[0] // 2, shape[1] // 2 - 3, shape[1] // 2 + 3
    pattern[row, left, 0] = pattern[row, right, 1] = 1.0
    found = ph.render(
        network,
        ph.objectives.spatial("conv", pattern),
        steps=100,
        parameterization=ph.parameterizations.pixel(),
        transforms=[],
        regularizers=[ph.regularizers.l2(300.0)],
        optimizer=ph.optimizers.sgd(0.1),
        progress=False,
    )
    cells = ph.activations(network, found.images, "conv")["conv"][0]
    assert np.unravel_index(cells[..., 0].argmax(), shape[:2]) == (row, left)
    assert np.unravel_index(cells[..., 1].argmax(), shape[:2]) == (row, right)


def test_the_way_between_two_units(costly_backend: str, load: Load) -> None:
    network = load("specimen", costly_backend, "float64")
    first, second = ph.channel("stage2", 1), ph.channel("stage2", 4)
    found = ph.render(
        network, ph.objectives.interpolate(first, second, 3), size=32, steps=10, transforms=[], progress=False
    )
    cells = ph.activations(network, found.images, "stage2")["stage2"].mean((1, 2))
    assert (np.diff(cells[:, 1]) < 0).all() and (np.diff(cells[:, 4]) > 0).all()
    assert found.labels == ("stage2 : 1", "0.5 x stage2 : 1 + 0.5 x stage2 : 4", "stage2 : 4")


def test_resized_pictures_are_what_the_network_sees(backend: str) -> None:
    """A network that only takes 9 pixels sees a picture of 27, whole."""
    filters = np.random.default_rng(1).standard_normal((2, 9, 9, 3)).astype(np.float32)
    network = ph.wrap(linear_convolution(backend, filters), size=9)
    found = ph.render(
        network,
        ph.channel("conv", 1),
        size=27,
        steps=30,
        transforms=[ph.transforms.resize(9)],
        regularizers=[],
        parameterization=ph.parameterizations.pixel(),
        optimizer=ph.optimizers.sgd(0.05),
        progress=False,
    )
    small = found.images[0].reshape(9, 3, 9, 3, 3)[:, 1, :, 1]
    cosine = ((small - 0.5) * filters[1]).sum() / np.linalg.norm(small - 0.5) / np.linalg.norm(filters[1])
    assert cosine > 0.8


def test_what_cannot_be_is_refused(backend: str, load: Load) -> None:
    network = load("specimen", backend)
    photograph = np.full((32, 32, 3), 0.5)
    unit = ph.channel("stage1", 0)
    for make, message in (
        (lambda: {"preset": "lucids"}, "Did you mean 'lucid'"),
        (lambda: {"rule": "guidd"}, "rule: expected 'standard', 'guided'.*Did you mean 'guided'"),
        (lambda: {"start": photograph[:16]}, r"start: expected pictures \(N, 32, 32, 3\)"),
        (lambda: {"start": photograph * 300}, r"start: expected values in \[0, 1\]"),
        (lambda: {"start": np.stack([photograph] * 3)}, r"start: expected 1 picture \(one per objective\), got 3"),
        (
            lambda: {"start": photograph, "parameterization": ph.parameterizations.maco()},
            "start: expected None, since this parameterization cannot start from an image",
        ),
        (lambda: {"snapshots": -1}, "snapshots: expected an integer"),
        (
            lambda: {
                "transforms": [
                    ph.transforms.noise(0.1),
                    ph.transforms.jitter(2),
                    ph.transforms.noise(0.1),
                    ph.transforms.resize(64),
                ]
            },
            "a resize before any transform that is not affine",
        ),
        (
            lambda: {"transforms": [ph.transforms.colour(0.1, 0.1, channels=4)]},
            "channels: expected 3, as many as the images have",
        ),
        (lambda: {"objectives": ph.objectives.diverse(unit, 2, "stage1"), "patience": 5}, "patience: expected None"),
        (
            lambda: {"objectives": ph.objectives.diverse(unit, 3, "stage1"), "slots": 2},
            "slots: expected None, or at least 3.*got 2",
        ),
        (
            lambda: {"objectives": ph.objectives.diverse(unit, 2, "stage1"), "slots": "measured"},
            "slots: expected None, or at least 2",
        ),
        (
            lambda: {
                "objectives": [unit] * 3,
                "parameterization": ph.parameterizations.fourier(shared=0.1),
                "slots": 2,
            },
            "slots: expected None, or at least 3.*Leave it out",
        ),
        (
            lambda: {"objectives": ph.objectives.diverse(unit, 2, "stage1"), "preset": "maco"},
            "preset: expected a recipe of one view per step",
        ),
        (lambda: {"objectives": ph.neuron("stage1", 0, at=(1, 1)), "preset": "lucent"}, "no pad or resize"),
        (lambda: {"objectives": ph.objectives.group("stage1", [])}, "channels: expected at least one channel"),
        (lambda: {"objectives": ph.objectives.group("stage1", [1, 1])}, "each of them once"),
        (
            lambda: {"objectives": ph.objectives.group("stage1", [1, 2], [1.0, -1.0])},
            "weights: expected finite numbers whose sum is not zero",
        ),
        (lambda: {"objectives": ph.objectives.group("stage1", [1, 2], [1.0])}, "weights: expected 2 numbers"),
        (lambda: {"objectives": ph.objectives.group("stage1", [1, 999])}, "channels: expected 0 to"),
        (
            lambda: {"objectives": ph.objectives.spatial("stage1", np.ones((2, 2, 3)))},
            "pattern: expected an array of at most",
        ),
        (lambda: {"objectives": ph.direction("stage1", np.ones(3))}, "vector: expected"),
        (lambda: {"objectives": ph.objectives.interpolate(unit, unit, 1)}, "count: expected"),
        (
            lambda: {"objectives": ph.objectives.diverse(unit, 2, "stage1", weight=0)},
            "weight: expected a number above 0",
        ),
    ):

        def call(make: Any = make) -> None:
            given = {"objectives": unit, "size": 32, "steps": 2, "progress": False, **make()}
            ph.render(network, given.pop("objectives"), **given)

        with pytest.raises(errors.PhospheneError, match=message):
            call()
