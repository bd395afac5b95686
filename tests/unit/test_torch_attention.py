"""Attention maps in PyTorch: the same weights, whichever way a module attends."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from phosphene.errors import ModelFailed, UnknownLayer  # noqa: E402
from phosphene.rules import Guided  # noqa: E402
from phosphene_torch import backend  # noqa: E402
from torch_models import images, wrap  # noqa: E402

HEADS, WIDTH, TOKENS = 2, 8, 20


class Attention(nn.Module):
    """One module, four ways to compute the same."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.inner = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.softmax, self.drop = nn.Softmax(dim=-1), nn.Dropout(0.5)

    def forward(self, t: Any) -> Any:
        if self.way == "module":
            return self.inner(t, t, t, need_weights=False)[0]
        q, k, v = F.linear(t, self.inner.in_proj_weight, self.inner.in_proj_bias).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (q, k, v))
        if self.way == "fused":
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            scores = q @ k.transpose(-2, -1) / math.sqrt(WIDTH / HEADS)
            weights = self.softmax(scores) if self.way == "softmax module" else scores.softmax(dim=-1)
            out = self.drop(weights) @ v
        return self.inner.out_proj(out.transpose(1, 2).flatten(2))


class Model(nn.Module):
    """Patches, a rectifier, two calls of one attention, and a head."""

    def __init__(self, way: str, make: Callable[[str], nn.Module] = Attention) -> None:
        super().__init__()
        self.patch, self.relu = nn.Conv2d(3, WIDTH, 2, 2), nn.ReLU()
        self.attn, self.head = make(way), nn.Linear(WIDTH, 5)

    def forward(self, x: Any) -> Any:
        t = self.relu(self.patch(x)).flatten(2).transpose(1, 2)
        t = t + self.attn(t)
        return self.head((t + self.attn(t)).mean(1))


WAYS = ("fused", "explicit", "softmax module", "module")
PATHS = {"module": "attn.inner"}


def model(way: str) -> nn.Module:
    torch.manual_seed(3)
    return Model(way).eval()


def maps(way: str) -> tuple[str, str]:
    path = PATHS.get(way, "attn")
    return f"{path}@attention", f"{path}@attention#1"


@pytest.mark.parametrize("way", WAYS)
def test_maps_are_those_of_the_module_by_hand(way: str) -> None:
    network, x = wrap(model(way)), images()
    first, second = maps(way)
    assert [path for path in network.layers if "@" in path] == [first, second]
    layer = network.layers[first]
    assert (layer.kind, layer.shape, layer.axes) == ("Attention", (TOKENS, TOKENS, HEADS), ("query", "key", "head"))
    read = network.forward(x, [first, second, "output"])
    inside = network.model.attn.inner
    t = network.model.relu(network.model.patch(x.permute(0, 3, 1, 2))).flatten(2).transpose(1, 2)
    out, weights = inside(t, t, t, average_attn_weights=False)
    torch.testing.assert_close(read[first], weights.permute(0, 2, 3, 1))
    t = t + out
    torch.testing.assert_close(read[second], inside(t, t, t, average_attn_weights=False)[1].permute(0, 2, 3, 1))
    torch.testing.assert_close(read["output"], network.forward(x, ["output"])["output"])
    torch.testing.assert_close(read[first].sum(2), torch.ones(2, TOKENS, HEADS))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_edited_weighs_the_values(way: str) -> None:
    network, x = wrap(model(way)), images()
    first, second = maps(way)
    plain = network.forward(x, ["output"])["output"]
    same = network.forward(x, [first, "output"], edit={first: lambda xp, a: a * 1})
    torch.testing.assert_close(same["output"], plain)
    only = torch.zeros(TOKENS, TOKENS, HEADS)
    only[:, 4] = 1.0  # every query looks at token 4 alone
    read = network.forward(x, [second, "attn#1", "output"], edit={second: lambda xp, a: a * 0 + only})
    torch.testing.assert_close(read[second], only.expand(2, -1, -1, -1))
    torch.testing.assert_close(read["attn#1"], read["attn#1"][:, :1].expand(-1, TOKENS, -1))
    inside, t = network.model.attn.inner, network.forward(x, ["attn"])["attn"]
    t = t + network.model.relu(network.model.patch(x.permute(0, 3, 1, 2))).flatten(2).transpose(1, 2)
    value = F.linear(t[:, 4], inside.in_proj_weight[-WIDTH:], inside.in_proj_bias[-WIDTH:])
    torch.testing.assert_close(read["attn#1"][:, 7], inside.out_proj(value))


@pytest.mark.parametrize("way", WAYS)
def test_they_are_differentiated_and_ruled_like_other_layers(way: str) -> None:
    network, first = wrap(model(way), dtype="float64"), maps(way)[0]
    x = images(dtype=torch.float64)
    f = lambda y: network.forward(y, [first])[first]  # noqa: E731
    entry = lambda y: f(y)[:, 3, 5, 1].sum()  # noqa: E731
    gradient, _ = backend.grad(lambda y: (entry(y), ()))(x)
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1e-6
    assert float(entry(x + step) - entry(x - step)) == pytest.approx(2 * float((gradient * step).sum()), rel=1e-4)
    torch.testing.assert_close(torch.func.grad(entry)(x), gradient)
    value, _ = backend.jvp(f)(x, torch.ones_like(x))
    torch.testing.assert_close(value, f(x))
    gate = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(backend.with_rule(Guided(), f)(x, gate), value)
    assert backend.nonlinearities(f, x)["relu"] == 1
    assert "softmax" not in backend.nonlinearities(f, x) or way not in ("fused", "module")


def test_other_weights_are_those_that_attend() -> None:
    network, x = wrap(model("fused")), images()
    flat = network.with_weights(lambda path, array: np.zeros_like(array) if "in_proj_weight" in path else array)
    read = flat.forward(x, ["attn@attention"])["attn@attention"]
    torch.testing.assert_close(read, torch.full_like(read, 1 / TOKENS))


SDPA: dict[str, Callable[[Any], dict[str, Any]]] = {
    "plain": lambda q: {},
    "scaled": lambda q: {"scale": 0.7},
    "causal": lambda q: {"is_causal": True},
    "a mask of floats": lambda q: {"attn_mask": torch.linspace(-2, 2, q.shape[-2]).expand(q.shape[-2], -1)},
    "a mask of flags": lambda q: {"attn_mask": (torch.arange(q.shape[-2]) % 3 != 1).expand(q.shape[-2], -1)},
    "nowhere to look": lambda q: {"attn_mask": (torch.arange(q.shape[-2]) > 2)[:, None].expand(-1, q.shape[-2])},
    "shared keys": lambda q: {"enable_gqa": True},
}


@pytest.mark.parametrize("name", SDPA)
def test_every_option_of_the_fused_operation(name: str) -> None:
    class Fused(nn.Module):
        def forward(self, t: Any) -> Any:
            q = t.unflatten(-1, (4, 2)).transpose(1, 2)
            few = q[:, :2] if name == "shared keys" else q
            return F.scaled_dot_product_attention(q, few * 2, few + 1, **SDPA[name](q)).transpose(1, 2).flatten(2)

    torch.manual_seed(0)
    network, x = wrap(Model("", lambda _: Fused()).eval()), images()
    assert network.layers["attn@attention"].shape == (TOKENS, TOKENS, 4)
    plain = network.forward(x, ["attn@attention", "attn"])
    edited = network.forward(x, ["attn"], edit={"attn@attention": lambda xp, a: a + 0})
    torch.testing.assert_close(edited["attn"], plain["attn"])
    assert bool(torch.isfinite(plain["attn@attention"]).all())


def test_every_option_of_the_headed_module() -> None:
    for options in (
        {"add_bias_kv": True, "add_zero_attn": True},
        {"kdim": WIDTH, "vdim": WIDTH + 1, "bias": False},
        {},
    ):

        class Headed(nn.Module):
            def __init__(self, options: dict[str, Any]) -> None:
                super().__init__()
                self.inner = nn.MultiheadAttention(WIDTH, HEADS, **options)
                self.averaged = None

            def forward(self, t: Any) -> Any:
                t = t.transpose(0, 1)
                v = F.pad(t, (0, 1)) if self.inner.vdim != WIDTH else t
                t, self.averaged = self.inner(t, t, v, attn_mask=torch.eye(TOKENS, dtype=torch.bool))
                return t.transpose(0, 1)

        torch.manual_seed(0)
        network, x = wrap(Model("", lambda _, options=options: Headed(options)).eval()), images()
        path = "attn.inner@attention"
        read = network.forward(x, [path, "attn"])
        weights = read[path].movedim(-1, 1)
        assert not weights[..., range(TOKENS), range(TOKENS)].any()
        edited = network.forward(x, ["attn"], edit={path: lambda xp, a: a * 1})["attn"]
        torch.testing.assert_close(edited, read["attn"])
        torch.testing.assert_close(network.model.attn.averaged, weights.mean(1))  # what the module returns beside it


def test_the_fast_path_of_transformer_blocks_hides_nothing() -> None:
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True)
    network, x = wrap(Model("", lambda _: nn.TransformerEncoder(block, 2)).eval()), images()
    paths = [path for path in network.layers if "@" in path]
    assert paths == [f"attn.layers.{i}.self_attn@attention{call}" for call in ("", "#1") for i in (0, 1)]
    with torch.no_grad():
        read = network.forward(x, paths)
    assert all(value.shape == (2, TOKENS, TOKENS, HEADS) for value in read.values())


def test_what_nothing_is_weighed_by_is_no_attention() -> None:
    class Gate(nn.Module):
        def forward(self, t: Any) -> Any:
            q = t.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            return (q * q.softmax(-1)).transpose(1, 2).flatten(2)

    class ChannelsToChannels(nn.Module):
        def forward(self, t: Any) -> Any:
            q = t.unflatten(-1, (HEADS, -1)).permute(0, 2, 3, 1)
            return ((q @ q.mT).softmax(-1) @ q).permute(0, 3, 1, 2).flatten(2)

    for make in (Gate, ChannelsToChannels):
        network = wrap(Model("", lambda _, make=make: make()).eval())
        assert not [path for path in network.layers if "@" in path]
        assert network.layers["attn"].shape == (TOKENS, WIDTH)
        with pytest.raises(UnknownLayer):
            network.forward(images(), ["attn@attention"])


def test_nothing_is_watched_unless_a_map_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from phosphene_torch import capture

    network = wrap(model("fused"))
    monkeypatch.setattr(capture, "AttentionMode", None)
    monkeypatch.setattr(capture, "running", None)
    network.forward(images(), ["attn", "output"], edit={"patch": lambda xp, a: a})
    with pytest.raises(TypeError):
        network.forward(images(), ["attn@attention"])


def test_hooks_are_gone_and_later_modules_do_not_run() -> None:
    network = wrap(model("explicit"))
    ran: list[int] = []
    handle = network.model.head.register_forward_hook(lambda *_: ran.append(1))
    network.forward(images(), list(maps("explicit")))
    handle.remove()
    assert not ran
    modules = list(network.model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def test_a_path_that_depends_on_the_image_is_an_error_and_no_other_map() -> None:
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Model("fused"), Model("fused")

        def forward(self, x: Any) -> Any:
            return self.b(x) if float(x.mean()) > 0.55 else self.a(x)

    network = wrap(Moody().eval())
    with pytest.raises(ModelFailed, match=r"ran without reaching 'a\.attn@attention'"):
        network.forward(images() * 0 + 0.9, ["a.attn@attention"])
