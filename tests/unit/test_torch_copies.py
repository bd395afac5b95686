"""Networks that are pickled and copied, and modules that a model holds under two names."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import phosphene as ph  # noqa: E402
from phosphene.errors import UnknownLayer  # noqa: E402
from phosphene.interface import Interface  # noqa: E402
from torch_architectures import ARCHITECTURES, SIZE, Residual, built  # noqa: E402
from torch_models import images, wrap  # noqa: E402

X = images(2, SIZE)


class Conditioned(nn.Module):
    """Takes a mask and a number besides its images."""

    def __init__(self) -> None:
        super().__init__()
        self.net = built(Residual)

    def forward(self, x: Any, mask: Any, strength: float = 1.0) -> Any:
        return self.net(x * (1 - strength * mask))


def by_name(x: Any) -> Any:
    return {"x": x, "mask": torch.zeros_like(x[:, :1])}


def twice(path: str, array: Any) -> Any:
    return array * 2


def same(path: str, array: Any) -> Any:
    return array + 0


COPIES = {"pickle": lambda network: pickle.loads(pickle.dumps(network)), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize(
    "inputs", [{"mask": torch.rand(1, *SIZE), "strength": 0.5}, {"mask": np.ones((1, *SIZE), np.float32)}, by_name]
)
@pytest.mark.parametrize("dtype", [None, "float64"])
def test_a_network_with_further_arguments(copied: str, inputs: Any, dtype: Any) -> None:
    network = wrap(Conditioned().eval(), SIZE, interface=Interface(inputs=inputs), dtype=dtype)
    assert_copies(network, COPIES[copied])


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_network_before_and_after_use(copied: str, kind: Any) -> None:
    assert_copies(wrap(built(kind), SIZE), COPIES[copied])
    used = ph.wrap(built(kind), size=SIZE, classes=list("abcde") if kind.__name__ != "UNet" else None)
    ph.attribute(used, X.numpy(), ph.channel("output", 0), method="gradient")
    ph.render(used, ph.channel(kind.inner, 0), steps=2, progress=False)
    assert_copies(used, COPIES[copied])


@pytest.mark.parametrize("copied", COPIES)
def test_a_network_with_other_weights(copied: str) -> None:
    assert_copies(wrap(built(Residual), SIZE).with_weights(same).with_weights(twice), COPIES[copied])


def assert_copies(network: Any, copied: Any) -> None:
    other = copied(network)
    assert other is not network
    assert other.backend is network.backend
    assert other.layers.keys() == network.layers.keys()
    assert other.fingerprint() == network.fingerprint()
    paths = list(network.layers)
    wanted = network.forward(X, paths)
    for path, value in other.forward(X, paths).items():
        assert torch.equal(value, wanted[path])
    assert repr(other) == repr(network)


class Siamese(nn.Module):
    """One encoder under two names, and tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.left = built(Residual)
        self.right = self.left
        self.table = nn.Linear(5, 4, bias=False)
        self.back = nn.Linear(4, 5, bias=False)
        self.back.weight = nn.Parameter(self.table.weight.detach().T.clone())
        self.again = nn.Linear(5, 4, bias=False)
        self.again.weight = self.table.weight

    def forward(self, x: Any) -> Any:
        return self.again(self.back(self.table(self.left(x) - self.right(x.flip(3)))))


def test_a_module_with_two_names_is_told_by_the_other() -> None:
    network = ph.wrap(Siamese().eval(), size=SIZE)
    assert network.layers.aliases["right.stem"] == "left.stem"
    with pytest.raises(UnknownLayer, match=r"the same module as 'left.stem.0', .*'left.stem.0', 'left.stem.0#1'"):
        network.layers["right.stem.0"]
    with pytest.raises(UnknownLayer, match=r"the same module as 'left\.stem\.0#1', under which it is read"):
        ph.activations(network, X.numpy(), "right.stem.0#1")
    with pytest.raises(UnknownLayer, match="the same module as 'left'"):
        network.layers.select("right")
    assert "left.stem.0#1" in network.layers
    assert network.layers.select("left.*").aliases == network.layers.aliases


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_modules_with_two_names_and_tied_weights_are_left_as_found(dtype: str) -> None:
    model = Siamese().eval()
    before = {name: (id(tensor), tensor.dtype) for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    network = wrap(model, SIZE, dtype=dtype)
    found = network.forward(X, ["output"])["output"]
    other = network.with_weights(twice).forward(X, ["output"])["output"]
    assert {
        name: (id(tensor), tensor.dtype) for name, tensor in (*model.named_parameters(), *model.named_buffers())
    } == before
    assert model.again.weight is model.table.weight
    assert model.right is model.left
    exact = copy.deepcopy(model).to(getattr(torch, dtype))
    wanted = exact(X.to(getattr(torch, dtype)).permute(0, 3, 1, 2))
    torch.testing.assert_close(found, wanted)
    with torch.no_grad():
        for tensor in (*exact.parameters(), *exact.buffers()):
            tensor.mul_(2)
    torch.testing.assert_close(other, exact(X.to(getattr(torch, dtype)).permute(0, 3, 1, 2)))
