"""Where channels go in PyTorch: followed through every operation that moves axes, and never guessed in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from phosphene.backend import Interface  # noqa: E402
from phosphene.errors import ModelWarning, UnknownLayer  # noqa: E402
from phosphene_torch.axes import Axes  # noqa: E402
from torch_models import images, wrap  # noqa: E402

X = (2, 6, 4, 10)
MOVES: dict[str, Callable[[Any], Any]] = {
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "transpose": lambda x: torch.transpose(x, 1, 3),
    "movedim": lambda x: x.movedim((1, 2), (3, 0)),
    "mT": lambda x: x.flatten(2).mT,
    "tokens": lambda x: x.flatten(2).transpose(1, 2),
    "heads": lambda x: x.flatten(2).transpose(1, 2).reshape(2, 40, 3, 2).permute(0, 2, 1, 3),
    "heads merged": lambda x: MOVES["heads"](x).transpose(1, 2).reshape(2, 40, 6),
    "heads in the batch": lambda x: MOVES["heads"](x).reshape(6, 40, 2),
    "windows": lambda x: x.view(2, 6, 2, 2, 5, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, 6),
    "windows and back": lambda x: MOVES["windows"](x).view(2, 2, 5, 2, 2, 6).permute(0, 5, 1, 3, 2, 4).reshape(X),
    "shuffled": lambda x: x.view(2, 3, 2, 4, 10).transpose(1, 2).reshape(X),
    "unflattened": lambda x: x.unflatten(1, (2, 3)).flatten(1, 2),
    "unsqueezed": lambda x: x.unsqueeze(2).unsqueeze(-1).squeeze(2),
    "indexed": lambda x: x[:, None, :, 1, ..., 2:5],
    "one index": lambda x: x[1],
    "a list of places": lambda x: x[:, torch.tensor([0, 2])],
    "qkv": lambda x: torch.stack([x, x, x])[1],
    "unbound": lambda x: x.unbind(2)[0],
    "chunked": lambda x: x.chunk(2, 1)[1],
    "split": lambda x: torch.split(x, [3, 7], dim=3)[1],
    "selected": lambda x: x.select(3, 1),
    "joined": lambda x: torch.cat([torch.zeros(2, 1, 6), x.flatten(2).transpose(1, 2)], 1)[:, 1:],
    "rolled": lambda x: x.roll((1, 2), (2, 3)),
    "padded": lambda x: F.pad(x, (1, 2))[..., 1:-2],
    "mean": lambda x: x.mean((2, 3)),
    "mean that keeps": lambda x: x.mean((2, 3), keepdim=True),
    "largest": lambda x: x.amax(-1),
    "expanded": lambda x: x[:, :, :1].expand(2, 6, 7, 10),
    "repeated": lambda x: x.repeat(3, 1, 1, 1, 1),
    "broadcast": lambda x: torch.zeros(3, 1, 1, 1, 1) + x,
    "filled": lambda x: _filled(x),
    "a product with weights": lambda x: torch.einsum("nchw,n->chw", x, torch.ones(2)),
    "pooled": lambda x: F.avg_pool2d(x, 2),
    "folds": lambda x: x.unfold(2, 2, 2),
    "columns": lambda x: F.unfold(x, 2)[:, ::4],
    "interpolated": lambda x: F.interpolate(x, scale_factor=2.0),
    "matrix that mixes tokens": lambda x: torch.ones(3, 40) @ x.flatten(2).transpose(1, 2),
}


def _filled(x: Any) -> Any:
    empty = torch.zeros(2, 40, 6)
    empty[:] = x.flatten(2).transpose(1, 2)
    return empty


@pytest.mark.parametrize("name", MOVES)
def test_channels_are_where_values_depend_on_the_channel(name: str) -> None:
    # The oracle: in a tensor whose every value is the number of its channel, the channels are where values change.
    x = torch.arange(1.0, 7.0).view(1, 6, 1, 1).expand(X).contiguous()
    axes = Axes()
    with axes:
        axes.set(x, 1)
        out = MOVES[name](x)
    layout = axes.of(out)
    assert layout is not None
    assert tuple(int(np.prod([size for size, _ in axis])) for axis in layout.axes) == tuple(out.shape)
    varies = [bool((out != out.narrow(axis, 0, 1)).any()) for axis in range(out.ndim)]
    assert [layout.holds(axis) for axis in range(out.ndim)] == varies


def test_random_rearrangements_are_followed() -> None:
    random, followed = np.random.default_rng(0), 0
    for _ in range(60):
        x = torch.arange(12.0).view(1, 12, 1, 1).expand(2, 12, 4, 9).contiguous()
        axes, out = Axes(), x
        with axes:
            axes.set(x, 1)
            for _ in range(6):
                if random.random() < 0.5:
                    out = out.permute(*random.permutation(out.ndim).tolist()).contiguous()
                else:
                    out = out.reshape(_another(out.shape, random))
        layout = axes.of(out)
        if layout is None:
            continue  # torn apart, and said so
        long = [axis for axis in range(out.ndim) if out.shape[axis] > 1]
        assert [layout.holds(axis) for axis in long] == [bool((out != out.narrow(axis, 0, 1)).any()) for axis in long]
        followed += 1
    assert followed > 30


def _another(shape: Any, random: np.random.Generator) -> list[int]:
    """Two neighbours merged, or one split."""
    sides = list(shape)
    at = int(random.integers(len(sides) - 1))
    if random.random() < 0.5 and len(sides) > 3:
        return [*sides[:at], sides[at] * sides[at + 1], *sides[at + 2 :]]
    divisors = [d for d in range(1, sides[at] + 1) if sides[at] % d == 0]
    part = int(random.choice(divisors))
    return [*sides[:at], part, sides[at] // part, *sides[at + 1 :]]


PRODUCTS: dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...], int]] = {
    "matmul": (lambda t, w: t @ w, (6, 5), 2),
    "torch.matmul": (torch.matmul, (6, 5), 2),
    "from the left": (lambda t, w: w @ t.mT, (5, 6), 1),
    "linear": (lambda t, w: F.linear(t, w), (5, 6), 2),
    "einsum": (lambda t, w: torch.einsum("n t c, c d -> n t d", t, w), (6, 5), 2),
    "einsum to channel-first": (lambda t, w: torch.einsum("ntc,dc->ndt", t, w), (5, 6), 1),
    "einsum with dots": (lambda t, w: torch.einsum("...c,cd->...d", t, w), (6, 5), 2),
    "tensordot": (lambda t, w: torch.tensordot(t, w, dims=1), (6, 5), 2),
    "tensordot by axes": (lambda t, w: torch.tensordot(t, w, dims=([2], [1])), (5, 6), 2),
    "tokens are mixed": (lambda t, w: torch.einsum("ntc,ts->nsc", t, w), (4, 3), 2),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_with_a_parameter(name: str) -> None:
    multiply, shape, wanted = PRODUCTS[name]
    axes, t = Axes(), torch.randn(1, 4, 6)
    with axes:
        axes.set(t, 2)
        out = multiply(t, torch.randn(shape))
    layout = axes.of(out)
    assert layout is not None and [axis for axis in range(3) if layout.holds(axis)] == [wanted]


def test_attention_keeps_the_channels_of_the_values() -> None:
    axes, t = Axes(), torch.randn(1, 10, 6)
    with axes:
        axes.set(t, 2)
        q, k, v = F.linear(t, torch.randn(18, 6)).reshape(1, 10, 3, 3, 2).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        mixed = torch.einsum("nhqk,nhkd->nqhd", weights, v)
        merged = mixed.flatten(2)
    of = lambda tensor: [axis for axis in range(tensor.ndim) if axes.of(tensor).holds(axis)]  # noqa: E731
    assert (of(q), of(weights), of(mixed), of(merged)) == ([1, 3], [1], [2, 3], [2])


class Opaque(nn.Module):
    """Makes channels where no operation that is followed says so, and is no leaf."""

    def __init__(self, count: int = 1) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Identity() for _ in range(count))
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Any) -> Any:
        x = self.conv(x)
        for part in self.parts:
            y = part(torch.cdist(x[:, 0], x[:, 0]))
        return y.mean((1, 2))[:, None]


def test_a_guess_is_said_once_with_its_layers_and_what_to_do() -> None:
    with pytest.warns(
        ModelWarning, match=r"guessed for 1 of its 3 layers \(parts.0\).*channel_axis=\{\"parts.0\""
    ) as seen:
        network = wrap(Opaque().eval())
    assert len(seen) == 1
    network.shapes((6, 6))
    with pytest.warns(ModelWarning, match=r"guessed for 7 of .*parts.4, \.\.\."):
        wrap(Opaque(7).eval())


def test_what_is_stated_is_not_guessed() -> None:
    network = wrap(Opaque(3).eval(), interface=Interface(channel_axis={"parts.*": 1}))
    assert network.layers["parts.2"].shape == (8, 8)
    assert network.layers["parts.2"].channel_axis == 1
    with pytest.raises(UnknownLayer, match=r"prats\.\*"):
        wrap(Opaque().eval(), interface=Interface(channel_axis={"prats.*": 1}))


def test_a_block_that_attends_by_hand_is_followed_to_its_end() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(3, 8, 2, 2)
            self.qkv = nn.Parameter(torch.randn(8, 24))
            self.drop, self.end = nn.Dropout(), nn.Identity()

        def forward(self, x: Any) -> Any:
            t = self.patch(x).flatten(2).transpose(1, 2)
            q, k, v = (t @ self.qkv).chunk(3, -1)
            q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in (q, k, v))
            weights = self.drop((q @ k.mT).softmax(-1))
            return self.end((weights @ v).transpose(1, 2).flatten(2)).mean(1)

    network = wrap(Block().eval())
    assert network.layers["end"].shape == (20, 8)
    assert network.layers["drop"].shape == (20, 20, 2)  # heads are its channels
    assert network.layers["@attention"].shape == (20, 20, 2)
    read = network.forward(images(), ["drop", "@attention"])
    torch.testing.assert_close(read["drop"], read["@attention"])
