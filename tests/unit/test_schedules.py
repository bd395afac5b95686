"""Optimizers beyond plain Adam: NAdam against PyTorch's and optax's, schedules, and normalised steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from array_api_compat import numpy as xp

import phosphene as ph
from phosphene import errors
from phosphene.optimizers import Optimizer

GRADIENTS = np.random.default_rng(0).standard_normal((30, 1, 5))


def path(optimizer: Optimizer, gradients: Any = GRADIENTS) -> Any:
    """Where an optimizer goes from zero."""
    parameters = np.zeros(gradients.shape[1:])
    state = optimizer.init(xp, parameters)
    for step, gradient in enumerate(gradients):
        clock = np.full(len(parameters), step)
        parameters, state = optimizer.update(xp, gradient, state, parameters, clock)
    return parameters


@pytest.mark.parametrize("options", [{}, {"beta1": 0.5, "beta2": 0.99}, {"momentum_decay": 0.1}])
def test_nadam_is_torchs(options: dict[str, float]) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Parameter(torch.zeros(1, 5, dtype=torch.float64))
    betas = options.get("beta1", 0.9), options.get("beta2", 0.999)
    reference = torch.optim.NAdam([theirs], lr=0.05, betas=betas, momentum_decay=options.get("momentum_decay", 0.004))
    for gradient in GRADIENTS:
        theirs.grad = torch.from_numpy(-gradient)
        reference.step()
    np.testing.assert_allclose(
        path(ph.optimizers.nadam(0.05, **options)), theirs.detach().numpy(), rtol=1e-7
    )  # it keeps a product in float32


def test_optaxs_nadam_is_another_one_by_a_known_amount() -> None:
    """Without the warm-up of the momentum: the same formula at an infinite decay of the schedule."""
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    with jax.enable_x64(True):
        theirs = jax.numpy.zeros((1, 5))
        reference = optax.nadam(0.05)
        state = reference.init(theirs)
        for gradient in GRADIENTS:
            change, state = reference.update(-jax.numpy.asarray(gradient), state)
            theirs = theirs + change
    apart = np.abs(path(ph.optimizers.nadam(0.05)) - np.asarray(theirs)).max()
    assert 0.05 < apart < 0.2, "docs/recipes.md tells by how much"
    np.testing.assert_allclose(path(ph.optimizers.nadam(0.05, momentum_decay=1e6)), np.asarray(theirs), atol=2e-3)


@pytest.mark.parametrize(
    "optimizer",
    [
        ph.optimizers.nadam(0.1),
        ph.optimizers.adam(0.1, schedule=ph.optimizers.cosine(5)),
        ph.optimizers.sgd(0.1, normalize=True),
    ],
)
def test_every_row_has_a_clock_of_its_own(optimizer: Optimizer) -> None:
    gradients = np.random.default_rng(1).standard_normal((6, 2, 4))
    parameters, clock = np.zeros((2, 4)), np.zeros(2, np.int32)
    state = optimizer.init(xp, parameters)
    for gradient in gradients[:3]:
        parameters, state = optimizer.update(xp, gradient, state, parameters, clock)
        clock = clock + 1
    parameters[1], clock[1] = 0.0, 0
    state = optimizer.restart(xp, state, parameters, [False, True])
    for gradient in gradients[3:]:
        parameters, state = optimizer.update(xp, gradient, state, parameters, clock)
        clock = clock + 1
    np.testing.assert_allclose(parameters[0], path(optimizer, gradients[:, :1])[0], rtol=1e-12)
    np.testing.assert_allclose(parameters[1], path(optimizer, gradients[3:, 1:])[0], rtol=1e-12)
    kept = optimizer.take(xp, state, [1])
    assert [len(leaf) for leaf in kept] == [1] * len(kept)


def test_a_cosine_goes_from_all_to_the_rest() -> None:
    factors = ph.optimizers.cosine(10, final=0.2)(xp, np.asarray([0.0, 5.0, 10.0, 99.0]))
    np.testing.assert_allclose(factors, [1.0, 0.6, 0.2, 0.2], atol=1e-12)


def test_normalised_steps_are_as_long_whatever_the_gradient() -> None:
    step = path(ph.optimizers.sgd(0.5, normalize=True), np.asarray([[[3.0, -1.0], [300.0, -100.0]]]))
    np.testing.assert_allclose(step, [[0.75, -0.25], [0.75, -0.25]])


def test_what_cannot_be_is_refused() -> None:
    for call, message in (
        (lambda: ph.optimizers.nadam(beta1=1.0), "beta1: expected"),
        (lambda: ph.optimizers.nadam(momentum_decay=-1), "momentum_decay: expected"),
        (lambda: ph.optimizers.cosine(0), "steps: expected"),
        (lambda: ph.optimizers.cosine(5, final=2), "final: expected"),
        (lambda: ph.optimizers.adam(schedule=0.5), "schedule: expected a schedule"),  # type: ignore[arg-type]
    ):
        with pytest.raises(errors.InvalidParameter, match=message):
            call()
