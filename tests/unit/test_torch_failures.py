"""An exception of a model is told by its cause, at wrapping and later, and advice on shapes stands only where it helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import phosphene as ph  # noqa: E402
from phosphene.backend import InputSpec  # noqa: E402
from phosphene.errors import InvalidParameter, ModelFailed, UnknownModel  # noqa: E402
from phosphene_torch import backend  # noqa: E402
from pretend_operators import declare  # noqa: E402
from torch_architectures import SIZE, Residual, UNet, built  # noqa: E402
from torch_models import images, wrap  # noqa: E402

X = images(2, SIZE)


def missing_key(x: Any) -> Any:
    return x * {"small": 1.0}["large"]


def asserted(x: Any) -> Any:
    assert x.max() > 2, "pictures in 0..255 only"
    return x


def side_asserted(x: Any) -> Any:
    assert x.shape[-1] == 28
    return x


def open_file(x: Any) -> Any:
    with open("/nowhere/statistics.txt") as file:
        return x * float(file.read())


def out_of_memory(x: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def not_implemented(x: Any) -> Any:
    raise NotImplementedError("Could not run 'aten::_fft_r2c' with arguments from the 'MPS' backend.")


def divided(x: Any) -> Any:
    return x * (1 // 0)


def other_precision(x: Any) -> Any:
    return x @ torch.eye(x.shape[-1], dtype=torch.float64)


def flat(x: Any) -> Any:
    return F.linear(x.flatten(1), torch.ones(4, 100))


def halved(x: Any) -> Any:
    left, right = x.chunk(2, 2)
    return torch.cat([left, right[:, :, 1:]], 3)


CAUSES = [
    (missing_key, "KeyError.*'large'.*in missing_key: return x", None),
    (asserted, r"AssertionError.*0\.\.255 only.*in asserted", None),
    (side_asserted, r"AssertionError.*in side_asserted: assert x\.shape", "size"),
    (open_file, "FileNotFoundError.*statistics.txt.*opens a file", None),
    (out_of_memory, "OutOfMemoryError.*smaller batch size", None),
    (not_implemented, "NotImplementedError.*not implemented by the model, or not by PyTorch on cpu for float32", None),
    (divided, "ZeroDivisionError.*in divided", None),
    (other_precision, "RuntimeError.*in other_precision", None),
    (flat, "RuntimeError.*mat1.*in flat: return F.linear", "size"),
    (halved, "RuntimeError.*in halved", "size"),
]


class Failing(nn.Module):
    """A network that fails in `fails`, from the beginning or once told so."""

    def __init__(self, fails: Any, *, armed: bool) -> None:
        super().__init__()
        self.net, self.fails, self.armed = built(Residual), fails, armed

    def forward(self, x: Any) -> Any:
        return self.net(self.fails(x) if self.armed else x)


@pytest.mark.parametrize(("fails", "said", "about"), CAUSES)
def test_causes_when_wrapping(fails: Any, said: str, about: Any) -> None:
    with pytest.raises(ModelFailed, match=f"(?s)on a grey image of shape.*|{said}") as caught:
        wrap(Failing(fails, armed=True).eval(), SIZE)
    assert_told(caught.value, said, about)


@pytest.mark.parametrize(("fails", "said", "about"), CAUSES)
@pytest.mark.parametrize("call", ["activations", "render", "attribute", "wider"])
def test_causes_in_later_passes(fails: Any, said: str, about: Any, call: str) -> None:
    model = Failing(fails, armed=False).eval()
    network = ph.wrap(model, size=SIZE)
    model.armed = True
    calls = {
        "activations": lambda: ph.activations(network, X.numpy(), "net.stem"),
        "render": lambda: ph.render(network, ph.channel("net.layers.0", 0), steps=2, progress=False),
        "attribute": lambda: ph.attribute(network, X.numpy(), ph.channel("output", 0), method="gradient"),
        "wider": lambda: network.forward(images(2, (24, 24)), ["net.stem"]),
    }
    with pytest.raises(ModelFailed) as caught:
        calls[call]()
    assert_told(caught.value, said, about)
    assert not any(module._forward_hooks for module in model.modules())


def assert_told(error: ModelFailed, said: str, about: Any) -> None:
    import re

    assert re.search(said, str(error), re.DOTALL), str(error)
    assert ("Check size" in str(error)) == (about == "size"), str(error)
    assert error.__cause__ is not None
    assert type(error.__cause__).__name__ in str(error)


def test_what_is_not_the_models_failure_is_not_called_so() -> None:
    network = wrap(built(UNet), SIZE)
    with pytest.raises(ZeroDivisionError):
        network.forward(X, ["out"], edit={"down": lambda xp, a: 1 // 0})
    with pytest.raises(InvalidParameter):
        network.forward(X, ["nothing"])
    with pytest.raises(KeyboardInterrupt):
        network.forward(X, ["out"], edit={"down": _interrupted})


def _interrupted(xp: Any, a: Any) -> Any:
    raise KeyboardInterrupt


def test_a_backward_pass_that_fails() -> None:
    class OneWay(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            raise NotImplementedError("no way back")

    network = ph.wrap(Failing(OneWay.apply, armed=True).eval(), size=SIZE)
    ph.activations(network, X.numpy(), "net.stem")
    with pytest.raises(ModelFailed, match=r"NotImplementedError in its backward pass.*no way back.*in backward"):
        ph.attribute(network, X.numpy(), ph.channel("output", 0), method="gradient")


def test_a_module_that_takes_no_images() -> None:
    with pytest.raises(ModelFailed, match="ModuleList has no forward pass: wrap the module that takes the images"):
        wrap(nn.ModuleList([nn.Conv2d(3, 4, 1)]), SIZE)


def test_a_model_without_values() -> None:
    with torch.device("meta"):
        model = built(UNet)
    with pytest.raises(ModelFailed, match="on the device 'meta', which holds no values"):
        wrap(model, SIZE)


def test_the_wrong_channels_of_timm_and_its_fixed_size() -> None:
    declare()
    pytest.importorskip("timm")
    import timm

    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=4, depth=1).eval()
    with pytest.raises(ModelFailed, match=r"Check size=\(48, 48\)"):
        wrap(model, (48, 48))
    with pytest.raises(ModelFailed, match="channels=1"):
        wrap(model, (32, 32), input=InputSpec(size=(32, 32), channels=1))


def free(x: Any) -> Any:
    return torch.relu(x)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (UNet, "the class UNet itself.*an instance"),
        (nn.Sequential(nn.Conv2d(3, 4, 1)).state_dict(), "OrderedDict.*load_state_dict"),
        ({"model": {}, "epoch": 3}, "weights, without the model|without the model"),
        (built(UNet).forward, "the method 'forward' of a UNet. Pass the module itself"),
        ((built(UNet), {}), "A PyTorch module is passed alone"),
        ("resnet50", "ph.load"),
    ],
)
def test_what_is_handed_over_instead_of_a_model(given: Any, said: str) -> None:
    with pytest.raises(UnknownModel, match=said):
        ph.wrap(given, size=SIZE)


def test_a_function_of_tensors_where_there_is_no_jax(monkeypatch: Any) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "jax", raising=False)
    for function in (free, torch.relu, lambda x: x):
        with pytest.raises(UnknownModel, match="A function of PyTorch tensors has no submodules"):
            ph.wrap(function, size=SIZE)


def test_an_exported_program_is_passed_as_its_module(monkeypatch: Any) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "jax", raising=False)
    program = torch.export.export(nn.Sequential(nn.Conv2d(3, 4, 1)), (torch.rand(1, 3, *SIZE),))
    with pytest.raises(UnknownModel, match=r"model\.module\(\)"):
        ph.wrap(program, size=SIZE)


def test_gradients_of_what_fails_only_with_them() -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Any) -> Any:
            y = self.conv(x).sigmoid()
            z = y * 2
            y.add_(1)
            return z.mean((2, 3))

    network = wrap(Changing().eval(), SIZE)
    with pytest.raises(ModelFailed, match=r"backward pass.*modified by an inplace operation"):
        backend.grad(lambda x: (network.forward(x, ["output"])["output"].sum(), ()))(X)


def test_numbers_are_as_before() -> None:
    model = Failing(missing_key, armed=False).eval()
    network = ph.wrap(model, size=SIZE)
    wanted = model(X.permute(0, 3, 1, 2)).detach().numpy()
    np.testing.assert_array_equal(ph.activations(network, X.numpy(), "output")["output"], wanted)
