"""The user's module is left as it was found, and read as it is now."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from phosphene.backend import InputSpec  # noqa: E402
from phosphene.errors import ModelWarning  # noqa: E402
from phosphene_torch import backend  # noqa: E402
from torch_models import images, mixed, wrap  # noqa: E402


def test_the_model_is_left_as_it_was_found() -> None:
    model = mixed()
    model.drop.train()
    model.stem[1].train()
    model.head.weight.requires_grad_(False)
    model.head.bias.grad = torch.ones(5)
    seen = []
    model.shared.register_forward_hook(lambda *_: seen.append(1))
    before = copy.deepcopy(model.state_dict())
    strides = {name: p.stride() for name, p in model.named_parameters()}
    state = _settings(model)
    random = torch.get_rng_state()
    with pytest.warns(ModelWarning, match="training mode") as caught:
        network = wrap(model)
    assert len(caught) == 1
    gradient, _ = backend.grad(lambda x: (network.forward(x, ["output"])["output"].sum(), ()))(images())
    assert float(gradient.abs().sum()) > 0
    with pytest.raises(ZeroDivisionError):
        network.forward(images(), ["head"], edit={"shared": lambda xp, a: 1 // 0})
    with pytest.raises(RuntimeError):
        network.forward(torch.zeros(1, 8, 10, 2), ["head"])
    with network.scope(), network.scope():
        assert not any(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)
    assert _settings(model) == state
    assert {name: p.stride() for name, p in model.named_parameters()} == strides
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["head.bias"]
    assert torch.equal(model.head.bias.grad, torch.ones(5))
    assert seen


def _settings(model: nn.Module) -> Any:
    hooks = {name: len(module._forward_hooks) for name, module in model.named_modules()}
    modes = {name: module.training for name, module in model.named_modules()}
    return hooks, modes, {name: p.requires_grad for name, p in model.named_parameters()}


def test_a_model_that_draws_does_not_move_the_users_random_state() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 4, 1)

        def forward(self, x: Any) -> Any:
            return self.a(x + torch.randn_like(x)).mean((2, 3))

    random = torch.get_rng_state()
    model = Noisy().eval()
    random = torch.get_rng_state()
    wrap(model).forward(images(), ["a"])
    assert torch.equal(torch.get_rng_state(), random)


def test_weights_changed_after_wrapping_are_seen() -> None:
    model = mixed()
    network = wrap(model)
    mark, before = network.fingerprint(), network.forward(images(), ["head"])["head"]
    assert wrap(mixed()).fingerprint() == mark
    assert network.weights() is None
    with torch.no_grad():
        model.head.bias += 1
    after = network.forward(images(), ["head"])["head"]
    torch.testing.assert_close(after, before + 1)
    assert network.fingerprint() != mark


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_precisions(dtype: str) -> None:
    model = mixed()
    network = wrap(model, dtype=dtype)
    assert network.dtype == dtype
    x = backend.from_numpy(images().numpy(), device="cpu", dtype=dtype)
    read = network.forward(x, ["stem", "output"])
    assert str(read["output"].dtype) == f"torch.{dtype}"
    exact = copy.deepcopy(model).double()(images(dtype=torch.float32).double().permute(0, 3, 1, 2))
    tolerance = 1e-12 if dtype == "float64" else 0.1
    torch.testing.assert_close(read["output"].double(), exact, atol=tolerance, rtol=tolerance)
    assert network.weights()["stem.1.num_batches_tracked"].dtype == torch.int64
    assert model.head.weight.dtype == torch.float32
    assert network.fingerprint() == wrap(model).fingerprint()
    with torch.no_grad():
        model.head.bias += 1
    torch.testing.assert_close(
        network.forward(x, ["output"])["output"].double(), exact + 1, atol=tolerance, rtol=tolerance
    )


@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_a_model_in_half_precision_takes_float32_images(mean: float) -> None:
    network = wrap(mixed(), dtype="bfloat16", input=InputSpec(size=(8, 10), mean=(mean,)))
    gradient, read = backend.grad(lambda x: (network.forward(x, ["output"])["output"].sum(), x * 1))(images())
    assert gradient.dtype == read.dtype == torch.float32
    assert float(gradient.abs().sum()) > 0


def test_threads_that_read_one_model_do_not_see_each_other() -> None:
    """Hooks, the mode and what takes a gradient belong to the module, and so to all threads that call it."""
    model = mixed().train()
    with pytest.warns(ModelWarning, match="training mode"):
        network = wrap(model)
    before = copy.deepcopy(model.state_dict())
    inputs = [images() * scale for scale in (0.25, 0.5, 0.75, 1.0)]
    paths = ["head", "stem.0", "shared", "output"]

    def read(number: int) -> Any:
        with network.scope():
            gradient, _ = backend.grad(lambda x: (network.forward(x, [paths[number]])[paths[number]].sum(), ()))(
                inputs[number]
            )
            return gradient, network.forward(inputs[number], [paths[number]])[paths[number]]

    wanted = [read(number) for number in range(4)]
    with ThreadPoolExecutor(4) as executor:
        for number, found in zip(list(range(4)) * 10, executor.map(read, list(range(4)) * 10), strict=True):
            for mine, theirs in zip(found, wanted[number], strict=True):
                assert torch.equal(mine, theirs)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert not any(module._forward_hooks for module in model.modules())
