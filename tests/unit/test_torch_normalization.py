"""Batch normalisation of a frozen network: PyTorch's own values and derivatives, by a shorter backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import phosphene as ph  # noqa: E402
from phosphene_torch.normalization import FrozenNormalization  # noqa: E402


def layer(kind: Callable[..., nn.Module], affine: bool = True) -> nn.Module:
    """In evaluation mode, with statistics and weights of its own."""
    random = torch.Generator().manual_seed(0)
    found = kind(5, affine=affine).double().eval()
    for tensor in (found.running_mean, found.running_var, found.weight, found.bias):
        if tensor is not None:
            tensor.data.copy_(torch.rand(5, generator=random) + 0.5)
    return found.requires_grad_(False)


def images(*shape: int) -> Any:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, (3, 5)), (nn.BatchNorm2d, (3, 5, 4, 6)), (nn.BatchNorm3d, (2, 5, 2, 3, 4))]
)
def test_values_and_gradients_are_pytorch_s(kind: Any, shape: tuple[int, ...], affine: bool) -> None:
    norm, x = layer(kind, affine), images(*shape)
    away = torch.rand(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = norm(x)
    with FrozenNormalization():
        found = norm(x)
    assert type(found.grad_fn).__name__ == "ScaledBackward"  # the shorter one was taken
    assert torch.equal(found, expected)
    gradients = [torch.autograd.grad(y, x, away)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_second_and_forward_derivatives() -> None:
    norm = layer(nn.BatchNorm2d)

    def f(x: Any) -> Any:
        with FrozenNormalization():
            return norm(x)

    assert torch.autograd.gradcheck(f, (images(2, 5, 2, 2),), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: f(x).square(), (images(1, 5, 2, 2),))


def test_what_is_not_frozen_is_left_alone() -> None:
    x = images(3, 5, 4, 4)
    learning, training = layer(nn.BatchNorm2d).requires_grad_(True), layer(nn.BatchNorm2d).train()
    with FrozenNormalization():
        outputs = learning(x), training(x), layer(nn.BatchNorm2d)(x.detach())
    assert all("BatchNorm" in type(y.grad_fn).__name__ for y in outputs[:2])
    assert outputs[2].grad_fn is None
    torch.autograd.grad(outputs[0].sum(), learning.weight)


def test_the_model_s_own_gradients_are_still_to_be_had() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    network = ph.wrap(model.eval(), size=8)
    ph.render(network, ph.channel("1", 0), steps=2, progress=False)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
