"""A PyTorch model behind the contract: what is read is right, and the model is left as it was found."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from phosphene.backend import InputSpec, Interface, Network  # noqa: E402
from phosphene.errors import InvalidParameter, ModelFailed, ModelWarning, UnknownLayer  # noqa: E402
from phosphene_torch import backend  # noqa: E402
from torch_models import images, mixed, returns, wrap  # noqa: E402


def test_layers_are_listed_in_forward_order_channel_last() -> None:
    network = wrap(mixed())
    assert isinstance(network, Network)
    shapes = {path: layer.shape for path, layer in network.layers.items()}
    assert shapes == {
        "stem.0": (8, 10, 4),
        "stem.1": (8, 10, 4),
        "stem.2": (8, 10, 4),
        "stem": (8, 10, 4),
        "shared": (8, 10, 4),
        "shared#1": (8, 10, 4),
        "pair.conv": (8, 10, 4),
        "pair": (8, 10, 4),
        "tokens": (80, 4),
        "drop": (80, 4),
        "head": (5,),
        "output": (5,),
    }
    assert list(network.layers) == list(shapes)
    assert network.layers["stem"].parameters == 4 * 3 * 9 + 4 + 8
    assert network.layers["output"].kind == "Output"
    assert network.shapes((6, 6))["tokens"] == (36, 4)


def test_activations_are_those_of_the_model_by_hand() -> None:
    model = mixed()
    network, x = wrap(model), images()
    read = network.forward(x, list(network.layers))
    assert list(read) == list(network.layers)
    native = x.permute(0, 3, 1, 2)
    norm = model.stem[1](model.stem[0](native))
    torch.testing.assert_close(read["stem.1"].permute(0, 3, 1, 2), norm)  # not what the in-place unit made of it
    first = model.shared(F.relu(norm))
    torch.testing.assert_close(read["shared"].permute(0, 3, 1, 2), first)
    second = model.shared(F.relu(first))
    torch.testing.assert_close(read["shared#1"].permute(0, 3, 1, 2), second)
    torch.testing.assert_close(read["pair"].permute(0, 3, 1, 2), model.pair.conv(F.relu(second)))
    torch.testing.assert_close(read["output"], model(native))
    for path, value in read.items():
        assert value.shape == (2, *network.layers[path].shape)


def test_normalisation_is_applied_to_the_image() -> None:
    spec = InputSpec(size=(8, 10), range=(0, 255), mean=(100.0, 110.0, 120.0), std=(50.0, 60.0, 70.0))
    model = mixed()
    read = wrap(model, input=spec).forward(images(), ["output"])["output"]
    seen = (images() * 255 - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    torch.testing.assert_close(read, model(seen.permute(0, 3, 1, 2)))


def test_nothing_after_the_last_layer_runs_even_where_the_model_catches_exceptions() -> None:
    class Bomb(nn.Module):
        armed = False

        def forward(self, x: Any) -> Any:
            if self.armed:
                raise RuntimeError("ran")
            return x

    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.bomb = nn.Conv2d(3, 4, 1), Bomb()

        def forward(self, x: Any) -> Any:
            try:
                x = self.a(x)
            except Exception:  # noqa: BLE001
                x = torch.zeros(1)
            return self.bomb(x)

    model = Careful().eval()
    network = wrap(model)
    Bomb.armed = True
    assert network.forward(images(), ["a"])["a"].shape == (2, 8, 10, 4)
    with pytest.raises(RuntimeError, match="ran"):
        network.forward(images(), ["bomb"])


def test_edits_on_the_way() -> None:
    model = mixed()
    network, x = wrap(model), images()
    plain = network.forward(x, ["shared", "pair", "tokens", "output"])
    delta = torch.full_like(plain["pair"], 0.25)
    edited = network.forward(x, ["shared", "pair", "output"], edit={"pair": lambda xp, a: a + delta})
    torch.testing.assert_close(edited["shared"], plain["shared"])
    torch.testing.assert_close(edited["pair"], plain["pair"] + delta)
    gone = torch.tensor([1.0, 0.0, 1.0, 1.0])
    ablated = network.forward(x, ["tokens", "output"], edit={"tokens": lambda xp, a: a * gone})["output"]
    torch.testing.assert_close(ablated, model.head((plain["tokens"] * gone).mean(1)))
    second = network.forward(x, ["shared", "shared#1"], edit={"shared#1": lambda xp, a: a * 0})
    torch.testing.assert_close(second["shared"], plain["shared"])
    assert not second["shared#1"].any()


def test_gradient_with_respect_to_an_activation() -> None:
    network, x = wrap(mixed()), images()
    shape = (2, 8, 10, 4)

    def f(delta: Any) -> Any:
        read = network.forward(x, ["output"], edit={"stem": lambda xp, a: a + delta})
        return read["output"][:, 0].sum(), read

    gradient, aux = backend.grad(f)(torch.zeros(shape))
    assert gradient.shape == shape
    assert float(gradient.abs().sum()) > 0
    assert not aux["output"].requires_grad


def test_edited_weights_leave_the_model_alone() -> None:
    model = mixed()
    network = wrap(model)
    calls = []

    def blank(path: str, array: Any) -> Any:
        calls.append(path)
        return np.zeros_like(array) if path.startswith("head") else array

    twin = network.with_weights(blank)
    assert not twin.forward(images(), ["output"])["output"].any()
    twin.forward(images(), ["output"])
    assert calls.count("head.weight") == 1
    assert "stem.1.num_batches_tracked" not in calls
    assert network.forward(images(), ["output"])["output"].any()
    assert twin.fingerprint() != network.fingerprint()
    shifted = twin.with_weights(lambda path, array: array + 1 if path == "head.bias" else array)
    torch.testing.assert_close(shifted.forward(images(), ["output"])["output"], torch.ones(2, 5))
    with pytest.raises(InvalidParameter, match=r"shape \(4, 3, 3, 3\)"):
        network.with_weights(lambda path, array: array[..., :1]).weights()


def test_traceable_under_function_transforms() -> None:
    network, x = wrap(mixed(), dtype="float64"), images(dtype=torch.float64)
    f = lambda y: network.forward(y, ["output"])["output"]  # noqa: E731
    total = lambda y: f(y).sum()  # noqa: E731
    ours, _ = backend.grad(lambda y: (total(y), ()))(x)
    torch.testing.assert_close(torch.func.grad(total)(x), ours)
    value, change = backend.jvp(f)(x, torch.ones_like(x))
    torch.testing.assert_close(value, f(x))
    torch.testing.assert_close(change.sum(), ours.sum())
    weights = {**dict(network.model.named_parameters()), **dict(network.model.named_buffers())}
    doubled = {key: value.double() * 2 if key == "head.weight" else value.double() for key, value in weights.items()}
    assert not torch.allclose(network.forward(x, ["output"], weights=doubled)["output"], f(x))


def test_attention_has_a_forward_derivative() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(3, 8, 2, 2)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x: Any) -> Any:
            t = self.patch(x).flatten(2).transpose(1, 2)
            t = F.scaled_dot_product_attention(t, t, t)
            return self.block(self.attention(t, t, t)[0]).mean(1)

    network = wrap(Attending().eval())
    assert network.layers["attention"].shape == (20, 8)
    assert network.layers["block.linear1"].shape == (20, 16)
    assert "attention.out_proj" not in network.layers
    with torch.no_grad():
        assert network.forward(images(), ["block.linear1"])["block.linear1"].shape == (2, 20, 16)
    _, change = backend.jvp(lambda x: network.forward(x, ["output"])["output"])(images(), torch.ones(2, 8, 10, 3))
    assert bool(torch.isfinite(change).all())


def test_channel_axes_are_followed_through_permutations() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.up = nn.Conv2d(3, 4, 1), nn.LayerNorm(4), nn.Linear(4, 6)
            self.act, self.drop = nn.GELU(), nn.Identity()

        def forward(self, x: Any) -> Any:
            x = self.norm(self.conv(x).permute(0, 2, 3, 1))
            return self.drop(torch.permute(self.act(self.up(x)), (0, 3, 1, 2)))

    model = nn.Sequential(Block(), nn.Conv2d(6, 2, 1)).eval()
    network = wrap(model, size=(6, 6))
    shapes = {path: layer.shape for path, layer in network.layers.items()}
    assert shapes == {
        "0.conv": (6, 6, 4),
        "0.norm": (6, 6, 4),
        "0.up": (6, 6, 6),
        "0.act": (6, 6, 6),
        "0.drop": (6, 6, 6),
        "0": (6, 6, 6),
        "1": (6, 6, 2),
        "output": (6, 6, 2),
    }
    axes = {path: layer.channel_axis for path, layer in network.layers.items()}
    assert (axes["0.conv"], axes["0.norm"], axes["0.act"], axes["0.drop"], axes["0"]) == (1, -1, -1, 1, 1)


class Windows(nn.Module):
    """Windows of 4 x 4 folded into the batch, image by image or (`apart`) window by window; tokens in front of the batch."""

    def __init__(self, apart: bool = False) -> None:
        super().__init__()
        self.apart, self.conv, self.inside = apart, nn.Conv2d(3, 6, 1), nn.Linear(6, 4)
        self.pooled, self.sequence, self.table = nn.Identity(), nn.Linear(4, 4), nn.Embedding(3, 4)

    def forward(self, x: Any) -> Any:
        t = self.conv(x).unflatten(3, (-1, 4)).unflatten(2, (-1, 4))  # (N, C, rows, 4, columns, 4)
        t = t.permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2, 3)
        t = self.inside((t.transpose(0, 1) if self.apart else t).flatten(0, 1))
        t = self.pooled(t.mean(1))
        t = t.unflatten(0, (-1, len(x))) if self.apart else t.unflatten(0, (len(x), -1)).transpose(0, 1)
        return self.sequence(t).mean(0) + self.table(torch.arange(3)).mean(0)


def test_windows_in_the_batch_axis_are_read_and_edited_image_by_image() -> None:
    torch.manual_seed(0)
    network, x = wrap(Windows().eval(), size=(8, 12)), images(size=(8, 12))
    assert list(network.layers) == ["conv", "inside", "pooled", "sequence", "output"]  # the table has no batch axis
    assert network.layers["sequence"].shape == (6, 4) and network.layers["sequence"].batch_axis == 1
    inside, pooled = network.layers["inside"], network.layers["pooled"]
    assert (inside.windows, inside.shape, inside.axes) == (6, (6, 16, 4), ("window", "token", "channel"))
    assert (pooled.windows, pooled.shape, pooled.axes) == (6, (6, 4), ("window", "channel"))
    assert network.shapes((4, 4))["inside"] == (16, 4) and network.shapes((8, 4))["inside"] == (2, 16, 4)
    read = network.forward(x, ["conv", "inside", "pooled", "output"])
    corner = network.model.inside(read["conv"][1, 4:, 8:].reshape(16, 6))
    torch.testing.assert_close(read["inside"][1, 5], corner)
    gone = torch.ones(2, 6, 1, 1)
    gone[1, 5] = 0.0
    edited = network.forward(x, ["pooled", "output"], edit={"inside": lambda xp, a: a * gone})
    torch.testing.assert_close(edited["pooled"], read["pooled"] * gone[..., 0])
    torch.testing.assert_close(edited["output"][0], read["output"][0])


def test_windows_in_another_order_are_left_out() -> None:
    network = wrap(Windows(apart=True).eval(), size=(8, 12))
    assert list(network.layers) == ["conv", "sequence", "output"]
    assert "in an order that is not known" in network.findings.unread["inside"]


def test_a_stated_channel_axis_wins_and_is_checked() -> None:
    assert wrap(mixed(), interface=Interface(channel_axis={"tokens": 1})).layers["tokens"].shape == (4, 80)
    with pytest.raises(InvalidParameter, match="channel_axis"):
        wrap(mixed(), interface=Interface(channel_axis={"tokens": 5}))
    with pytest.raises(UnknownLayer, match="'tokens'"):
        wrap(mixed(), interface=Interface(channel_axis={"tokns": 1}))


@pytest.mark.parametrize(
    "output",
    [lambda f, y: {"logits": y, "features": f}, lambda f, y: (y,), lambda f, y: (y, None, "x"), lambda f, y: {"y": y}],
)
def test_the_output_is_found_in_what_is_returned(output: Any) -> None:
    model = returns(output)
    assert wrap(model).layers["output"].shape == (5,)


def test_an_output_that_is_not_plain_is_left_out_and_said() -> None:
    with pytest.warns(ModelWarning, match="features, scores"):
        network = wrap(returns(lambda f, y: {"features": f, "scores": y}))
    assert list(network.layers) == ["a", "b", 'output["features"]', 'output["scores"]']
    assert network.forward(images(), ['output["scores"]'])['output["scores"]'].shape == (2, 5)
    with pytest.raises(InvalidParameter, match="features, scores"):
        network.forward(images(), ["output"])
    assert network.forward(images(), ["b"])["b"].shape == (2, 5)


def test_a_model_that_refuses_is_named_with_its_input() -> None:
    network = wrap(nn.Sequential(nn.Flatten(), nn.Linear(240, 4)).eval())
    with pytest.raises(ModelFailed, match=r"\(1, 3, 9, 9\)") as caught:
        network.shapes((9, 9))["output"]
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(UnknownLayer, match="Did you mean"):
        network.forward(images(), ["outptu"])


def test_a_compiled_module_is_read_inside() -> None:
    model = mixed()
    network = wrap(torch.compile(model, backend="eager"))
    assert network.model is model
    torch.testing.assert_close(network.forward(images(), ["output"])["output"], model(images().permute(0, 3, 1, 2)))


def test_device_and_precision_are_checked() -> None:
    with pytest.raises(InvalidParameter, match="device: expected 'cpu'"):
        wrap(mixed(), device="tpu")
    with pytest.raises(InvalidParameter, match="dtype: expected 'float32'"):
        wrap(mixed(), dtype="int8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = wrap(nn.Sequential(nn.ReLU()).eval(), device="cpu")
    assert (network.device, network.dtype) == ("cpu", "float32")
