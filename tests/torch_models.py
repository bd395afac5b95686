"""PyTorch modules that are hard to read: nested, shared, in place, with tuples for outputs."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from phosphene.backend import InputSpec  # noqa: E402
from phosphene_torch import backend  # noqa: E402


class Mixed(nn.Module):
    """In-place and functional rectifiers, a shared module, a tuple, nesting, tokens, and a bomb after the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.pair = Pair()
        self.tokens = nn.LayerNorm(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)
        self.never = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        x = F.relu(self.shared(x), inplace=True)
        x = F.relu(self.shared(x))
        x, _ = self.pair(x)
        t = self.tokens(x.flatten(2).transpose(1, 2))
        return self.head(self.drop(t).mean(1))


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: Any) -> Any:
        return self.conv(x), "a word"


def mixed() -> nn.Module:
    torch.manual_seed(1)
    model = Mixed()
    model.stem[1].running_mean.normal_()
    return model.eval()


def wrap(model: nn.Module, size: tuple[int, int] = (8, 10), **options: Any) -> Any:
    spec = options.pop("input", InputSpec(size=size))
    given = {"classes": None, "device": None, "dtype": None, "name": None, **options}
    return backend.wrap(model, input=spec, **given)


def images(count: int = 2, size: tuple[int, int] = (8, 10), dtype: Any = torch.float32) -> Any:
    return torch.rand(count, *size, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)


def returns(output: Any) -> nn.Module:
    """A model that runs one convolution `a` and one linear layer, and returns `output(features, logits)`."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 4, 1)
            self.b = nn.Linear(4, 5)

        def forward(self, x: Any) -> Any:
            x = self.a(x)
            return output(x, self.b(x.mean((2, 3))))

    torch.manual_seed(0)
    return Model().eval()
