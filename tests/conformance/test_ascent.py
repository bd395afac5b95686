"""The ascent on every backend: what a target sees does not depend on its company, and closed forms are reached."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import chosen
from phosphene.ascent import driver
from phosphene.backend import Network
from small_models import linear_convolution, small_network

RECIPE = {
    "transforms": [
        ph.transforms.jitter(4),
        ph.transforms.scale(0.9, 1.1),
        ph.transforms.rotate(10),
        ph.transforms.noise(0.02),
    ],
    "progress": False,
}


def test_a_linear_unit_with_an_l2_penalty_shows_its_filter(backend: str) -> None:
    random = np.random.default_rng(3)
    filters = random.standard_normal((4, 9, 9, 3)).astype(np.float32)
    network = ph.wrap(linear_convolution(backend, filters), size=9)
    renders = ph.render(
        network,
        [ph.neuron("conv", index) for index in range(4)],
        steps=200,
        parameterization=ph.parameterizations.pixel(),
        transforms=[],
        regularizers=[ph.regularizers.l2(1000.0)],
        optimizer=ph.optimizers.sgd(0.1),
        progress=False,
    )
    for image, wanted in zip(renders.images, filters, strict=True):
        seen = image.astype(np.float64) - 0.5
        cosine = (seen * wanted).sum() / np.linalg.norm(seen) / np.linalg.norm(wanted)
        assert cosine >= 0.99


def test_a_targets_picture_does_not_depend_on_its_batch(costly_backend: str, load: Callable[..., Network]) -> None:
    network = load("specimen", costly_backend, "float64")
    targets = [ph.channel("stage2", index) for index in range(6)]
    together = ph.render(network, targets, size=48, steps=32, slots=6, **RECIPE)
    refilled = ph.render(network, targets[::-1], size=48, steps=32, slots=2, **RECIPE)
    alone = ph.render(network, targets[3], size=48, steps=32, **RECIPE)
    assert np.abs(together.images[3] - alone.images[0]).max() <= 1e-6
    assert np.abs(together.images - refilled.images[::-1]).max() <= 1e-6
    assert np.abs(together.history - refilled.history[:, ::-1]).max() <= 1e-6


def test_a_batch_that_drains_goes_on_smaller(
    backend: str, load: Callable[..., Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All targets but two are said to have finished: these two go on in their own rows, with their own states."""
    network = load("specimen", backend, "float64")
    seen: list[int] = []
    loop, finished = network.backend.loop, driver._finished

    def watched(step: Any, constants: Any, carry: Any, xs: Any) -> Any:
        seen.append(len(carry["clock"]))
        return loop(step, constants, carry, xs)

    monkeypatch.setattr(network.backend, "loop", watched)
    monkeypatch.setattr(driver, "WORTH_COMPILING", 8)
    targets = [ph.channel("stage1", index) for index in range(8)]
    options: dict[str, Any] = {"size": 32, "steps": 48, "slots": 8, "transforms": [], "warm_up": 0, "progress": False}
    alone = ph.render(network, [targets[1], targets[7]], **options)
    monkeypatch.setattr(
        driver,
        "_finished",
        lambda slot, *rest: finished(slot, *rest) or (slot.target not in (1, 7) and slot.clock >= 16),
    )
    together = ph.render(network, targets, **options)
    assert seen == [2, 2, 2, 8, 2, 2]
    assert together.steps.tolist() == [16, 48, 16, 16, 16, 16, 16, 48]
    np.testing.assert_allclose(together.images[[1, 7]], alone.images, atol=1e-6)


def test_a_measured_batch_gives_the_same_pictures(costly_backend: str, load: Callable[..., Network]) -> None:
    network = load("specimen", costly_backend, "float64")
    targets = [ph.channel("stage1", index) for index in range(3)]
    measured, alone = (
        ph.render(network, targets, size=32, steps=6, slots=slots, progress=False).images for slots in ("measured", 1)
    )
    np.testing.assert_allclose(measured, alone, atol=1e-6)


def test_one_seed_gives_the_same_pictures_twice_and_another_seed_others(specimen: Network) -> None:
    target = ph.channel("stage1", 5)
    first, again, other = (
        ph.render(specimen, target, size=32, steps=8, seed=seed, progress=False).images for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_equal_targets_of_one_call_are_different_tries(specimen: Network) -> None:
    renders = ph.render(specimen, [ph.channel("stage1", 5)] * 2, size=32, steps=8, progress=False)
    assert np.abs(renders.images[0] - renders.images[1]).max() > 0.01


def test_values_are_those_of_the_clean_picture(specimen: Network) -> None:
    renders = ph.render(specimen, [ph.channel("stage2", 3), ph.logit("coins")], size=64, steps=16, warm_up=0, **RECIPE)
    read = ph.activations(specimen, renders.images, ["stage2", "output"])
    coins = (specimen.classes or ()).index("coins")
    wanted = [read["stage2"][0, ..., 3].mean(), read["output"][1, coins]]
    np.testing.assert_allclose(renders.values, wanted, rtol=1e-4)


def test_objectives_combine_like_numbers(specimen: Network) -> None:
    a, b = ph.channel("stage1", 2), ph.channel("stage2", 4)
    images = ph.render(specimen, a, size=48, steps=4, progress=False).images
    read = ph.activations(specimen, images, ["stage1", "stage2"])
    x, y = read["stage1"][0, ..., 2].mean(), read["stage2"][0, ..., 4].mean()
    for objective, wanted in ((a + b, x + y), (a - 0.5 * b, x - 0.5 * y), (a * b, x * y), (-a, -x)):
        got = _value(specimen, objective, images)
        assert got == pytest.approx(float(wanted), rel=1e-4, abs=1e-6)


def test_a_user_function_finds_its_layers_and_works_unchanged(specimen: Network) -> None:
    def loud(xp, activations):  # type: ignore[no-untyped-def]
        return xp.mean(activations["stage2"] ** 2, axis=(1, 2, 3))

    renders = ph.render(specimen, [loud, ph.objectives.layer("stage2")], size=48, steps=8, warm_up=0, progress=False)
    read = ph.activations(specimen, renders.images, "stage2")["stage2"]
    np.testing.assert_allclose(renders.values, (read**2).mean(axis=(1, 2, 3)), rtol=1e-4)
    assert renders.labels[0] == "loud"


def test_an_objective_that_no_gradient_leaves_is_an_error(backend: str) -> None:
    network = ph.wrap(small_network(backend, dead=True), size=24)

    def deaf(xp, activations):  # type: ignore[no-untyped-def]
        return xp.mean(xp.floor(activations["norm"]), axis=(1, 2, 3))

    with pytest.raises(ph.PhospheneError, match="No gradient reaches the image from norm"):
        ph.render(network, deaf, steps=8, progress=False)


def test_redirected_warm_up_wakes_dead_channels(costly_backend: str, load: Callable[..., Network]) -> None:
    network = load("specimen", costly_backend)
    targets = [ph.neuron("stage3", index) for index in range(0, 128, 4)]
    recipe = {"regularizers": [], "steps": 24, "seed": 3, "size": 48, "progress": False}
    asleep = ph.render(network, targets, warm_up=0, **recipe)
    woken = ph.render(network, targets, warm_up=24, **recipe)
    never_moved = np.asarray([status == "dead" for status in asleep.status])
    assert never_moved.sum() >= 4, "the test needs units that are dead on the first image"
    assert (woken.values[never_moved] > 0).mean() >= 0.7


def test_pad_enlarges_what_the_network_sees_and_not_the_picture(specimen: Network) -> None:
    renders = ph.render(specimen, ph.channel("stage1", 1), size=32, steps=4, preset="lucid", progress=False)
    assert renders.images.shape == (1, 32, 32, 3)


def test_history_ends_where_the_steps_do_and_stopping_is_said(specimen: Network) -> None:
    seen = []

    def stop_after_two(progress: ph.Progress) -> bool:
        seen.append(progress)
        return len(seen) < 2

    renders = ph.render(specimen, ph.channel("stage1", 1), size=32, steps=64, progress=stop_after_two)
    assert renders.status == ("interrupted",)
    assert renders.steps[0] == 17  # one step, which tells whether it has to be woken, and a chunk
    assert np.isfinite(renders.history[:17]).all() and np.isnan(renders.history[17:]).all()
    assert seen[0].total == 64 and seen[0].rate > 0


@pytest.mark.parametrize("name", ["torch", "numpy-reference"])
def test_an_interrupt_ends_the_run_after_the_step_it_comes_in(name: str, load: Callable[..., Network]) -> None:
    network, made = load("specimen", name), []

    def interrupting(xp: Any, activations: Any) -> Any:
        made.append(1)
        if len(made) == 6:  # the first finds the layers
            signal.raise_signal(signal.SIGINT)
        return xp.mean(activations["stage1"], axis=(1, 2, 3))

    quiet: dict[str, Any] = {"size": 32, "steps": 64, "warm_up": 0, "transforms": [], "progress": False}
    renders = ph.render(network, interrupting, **quiet)
    assert renders.status == ("interrupted",) and renders.steps[0] == 5
    assert np.isfinite(renders.history[:5]).all() and np.isnan(renders.history[5:]).all()
    made[:] = [1] * 100
    whole = ph.render(network, interrupting, **quiet)
    np.testing.assert_array_equal(whole.history[:5], renders.history[:5])


def test_a_step_too_long_for_the_precision_leaves_the_picture_before_it(specimen: Network) -> None:
    quiet: dict[str, Any] = {"size": 32, "steps": 3, "transforms": [], "progress": False}
    with np.errstate(all="ignore"):
        renders = ph.render(specimen, ph.channel("stage1", 1), optimizer=ph.optimizers.sgd(1e300), **quiet)
    assert renders.status == ("nonfinite",) and np.isfinite(renders.images).all()


def test_patience_stops_a_target_that_no_longer_rises(specimen: Network) -> None:
    recipe = {
        "parameterization": ph.parameterizations.pixel(),
        "transforms": [],
        "regularizers": [],
        "optimizer": ph.optimizers.sgd(1e-12),
    }
    renders = ph.render(
        specimen,
        [ph.channel("stage1", 1), ph.channel("stage1", 5)],
        size=32,
        steps=400,
        patience=32,
        progress=False,
        **recipe,
    )
    assert all(status == "converged" for status in renders.status)
    assert (renders.steps < 100).all()


def test_a_framework_s_own_optimizer_does_what_ours_does(backend: str, load: Callable[..., Network]) -> None:
    network = load("specimen", backend, "float64")
    foreign = chosen({"torch": _torch_adam, "jax": _optax_adam}, backend, need="optimizer")()
    targets = [ph.channel("stage1", index) for index in (3, 4, 5)]
    options: dict[str, Any] = {"size": 32, "steps": 20, "slots": 2, "warm_up": 0, "progress": False}
    ours = ph.render(network, targets, optimizer=ph.optimizers.adam(0.05), **options)
    theirs = ph.render(network, targets, optimizer=foreign, **options)
    assert np.abs(ours.images - theirs.images).max() < 1e-6


def test_projections_keep_pixels_smooth_and_in_bounds(specimen: Network) -> None:
    recipe = {
        "parameterization": ph.parameterizations.pixel(0.2),
        "transforms": [],
        "optimizer": ph.optimizers.adam(0.05),
        "warm_up": 0,
    }
    target = ph.channel("stage1", 1)
    rough = ph.render(specimen, target, size=32, steps=16, regularizers=[], progress=False, **recipe).images
    smooth = ph.render(
        specimen,
        target,
        size=32,
        steps=16,
        regularizers=[ph.regularizers.blur(1.0, every=4), ph.regularizers.clip(0.2, 0.8)],
        progress=False,
        **recipe,
    ).images
    assert np.abs(np.diff(smooth, axis=1)).mean() < 0.5 * np.abs(np.diff(rough, axis=1)).mean()
    assert smooth.min() >= 0.2 and smooth.max() <= 0.8
    assert rough.min() >= 0.0 and rough.max() <= 1.0


def test_inversion_comes_back_to_the_activation(specimen: Network) -> None:
    from phosphene.data import Crops

    image = Crops(30, seed=2).images(0, 2)
    from_image = ph.invert(specimen, image, "stage1", steps=96, progress=False)
    assert (from_image.scores["cosine"] > 0.9).all()
    wanted = ph.activations(specimen, image, "stage1")["stage1"]
    from_activation = ph.invert(specimen, wanted, "stage1", steps=96, progress=False)
    assert (from_activation.scores["cosine"] > 0.9).all()
    again = ph.activations(specimen, from_image.images, "stage1")["stage1"].reshape(2, -1)
    flat = wanted.reshape(2, -1)
    cosine = (again * flat).sum(1) / np.linalg.norm(again, axis=1) / np.linalg.norm(flat, axis=1)
    np.testing.assert_allclose(from_image.scores["cosine"], cosine, rtol=1e-4)


def _torch_adam() -> Any:
    import torch

    return lambda parameters: torch.optim.Adam(parameters, lr=0.05)


def _optax_adam() -> Any:
    import optax

    return optax.adam(0.05)


def _value(network: Network, objective: ph.Objective, images: np.ndarray) -> float:
    from phosphene.arrays import stack_trees
    from phosphene.ascent.pipeline import pipeline
    from phosphene.backend import native
    from phosphene.trust.robustness import TransformedValues

    size = images.shape[1:3]
    bound = objective.bind(network, network.shapes(size))
    given = {"pipeline": (), "weights": network.weights(), "arguments": native(network, stack_trees([bound.arguments]))}
    shaken = TransformedValues(network, bound.form, pipeline((), size, size))
    return float(network.backend.to_numpy(network.backend.run(shaken, given, native(network, images), ()))[0])
