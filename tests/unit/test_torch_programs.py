"""TorchScript, traced, exported and graph modules: what can be read is read, and the reason is said for the rest."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from phosphene.backend import InputSpec  # noqa: E402
from phosphene.errors import ModelFailed  # noqa: E402
from phosphene.interface import Interface  # noqa: E402
from phosphene_torch import backend  # noqa: E402
from phosphene_torch.unread import inside_programs, why_only_output  # noqa: E402
from torch_architectures import SIZE, Block, Residual, Transformer, UNet, built  # noqa: E402
from torch_models import images, wrap  # noqa: E402

X = images(2, SIZE)
NATIVE = X.permute(0, 3, 1, 2)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::phosphene.errors.ModelWarning"
)


def scripted(module: Any, example: Any) -> Any:
    return torch.jit.script(module)


def traced(module: Any, example: Any) -> Any:
    return torch.jit.trace(module, example)


def frozen(module: Any, example: Any) -> Any:
    return torch.jit.freeze(torch.jit.script(module.eval()))


def exported(module: Any, example: Any) -> Any:
    return torch.export.export(module, (example,)).module()


def whole() -> Any:
    """A model that can be scripted as a whole."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), Block(6), nn.Flatten(), nn.Linear(1176, 5)).eval()


@pytest.mark.parametrize("how", [scripted, traced, frozen])
@pytest.mark.parametrize(
    ("kind", "child", "shape"),
    [(Residual, "layers.1", (2, 6, 16, 16)), (Transformer, "blocks.0", (2, 17, 8)), (UNet, "bottom", (2, 4, 8, 8))],
)
def test_one_program_inside_does_not_hide_the_rest(how: Any, kind: Any, child: str, shape: Any) -> None:
    model, plain = built(kind), wrap(built(kind), SIZE)
    parent, _, name = child.rpartition(".")
    holder = model.get_submodule(parent)
    program = how(model.get_submodule(child), torch.rand(shape))
    if name.isdigit():
        holder[int(name)] = program
    else:
        setattr(holder, name, program)
    network = wrap(model, SIZE)
    inside = [path for path in plain.layers if path.startswith(f"{child}.")]
    assert list(network.layers) == [path for path in plain.layers if path not in inside]
    assert all(reason.startswith(f"inside {child!r}, a ") for reason in inside_programs(model).values())
    for path in network.layers:
        assert network.layers[path].shape == plain.layers[path].shape
        edit = {child: lambda xp, a: a * 2}
        for given in (None, edit):
            found, wanted = (
                backend.grad(lambda x: ((net.forward(x, [path], edit=given)[path] ** 2).sum(), ()))(X)[0]  # noqa: B023
                for net in (network, plain)
            )
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    if how is not frozen:
        assert network.fingerprint() == plain.fingerprint()
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("how", [scripted, traced, frozen, exported])
def test_a_program_has_its_output_and_a_reason(how: Any) -> None:
    model = how(whole(), NATIVE[:1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = wrap(model, SIZE)
    assert list(network.layers) == ["output"]
    reason = why_only_output(model)
    assert {scripted: "TorchScript", traced: "traced", frozen: "TorchScript", exported: "graph"}[how] in reason
    assert "wrap the model from before it was" in reason
    plain = wrap(whole(), SIZE)
    found, wanted = (
        backend.grad(lambda x: (net.forward(x, ["output"])["output"].sum(), ()))(X[:1])[0]  # noqa: B023
        for net in (network, plain)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_graph_of_modules_is_read_as_the_model() -> None:
    import torch.fx

    graph, plain = torch.fx.symbolic_trace(built(UNet)), wrap(built(UNet), SIZE)
    network = wrap(graph, SIZE)
    # The graph calls the innermost modules, not the block that held them.
    assert list(network.layers) == [path for path in plain.layers if path != "bottom"]
    for path, value in network.forward(X, list(network.layers)).items():
        assert torch.equal(value, plain.forward(X, [path])[path])
    assert inside_programs(graph) == {}


def test_reasons_where_there_is_no_program() -> None:
    class Plain(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3))

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Any) -> Any:
            return nn.functional.conv2d(x, self.conv.weight).mean((2, 3))

    assert "no submodules" in why_only_output(Plain())
    assert "none of its submodules runs" in why_only_output(Idle())


class TwoArguments(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3)) * scale


def test_failures_of_programs_are_told() -> None:
    program = torch.jit.script(TwoArguments().eval())
    with pytest.raises(ModelFailed, match="'scale' was not given"):
        wrap(program, SIZE)
    network = wrap(program, SIZE, interface=Interface(inputs={"scale": torch.ones(())}))
    assert network.layers["output"].shape == (4,)
    with pytest.raises(ModelFailed, match="Check size"):
        wrap(torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(12, 4))), SIZE)
    for other in (frozen(whole(), NATIVE), traced(whole(), NATIVE)):
        with pytest.raises(ModelFailed, match=r"Check size=.* channels=5"):
            wrap(other, SIZE, input=InputSpec(size=SIZE, channels=5))


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_precisions_of_programs(dtype: str) -> None:
    model, plain = built(UNet), wrap(built(UNet), SIZE, dtype=dtype)
    model.bottom = torch.jit.script(model.bottom)
    network = wrap(model, SIZE, dtype=dtype)
    torch.testing.assert_close(network.forward(X, ["output"]), plain.forward(X, ["output"]))
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
