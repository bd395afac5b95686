"""Architectures as people write them, in PyTorch and small: residual, transformer, U-Net, recurrent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

Call = Callable[..., Any]
"""How a model calls a block: ``call(block, x)``, which may be a checkpoint."""


def plainly(block: Any, *inputs: Any) -> Any:
    return block(*inputs)


class Block(nn.Module):
    """A residual block with normalisation and dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.drop(self.relu(self.bn1(self.conv1(x))))
        return self.relu(self.bn2(self.conv2(y)) + x)


class Residual(nn.Module):
    inner = "layers.0.conv2"

    def __init__(self, call: Call = plainly) -> None:
        super().__init__()
        self.call = call
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.layers = nn.ModuleList([Block(6), Block(6)])
        self.fc = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = self.call(layer, x)
        return self.fc(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, tokens, width = x.shape
        qkv = self.qkv(x).reshape(count, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return self.proj(y.transpose(1, 2).reshape(count, tokens, width))


class Encoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0.5), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    inner = "blocks.0.mlp.0"

    def __init__(self, call: Call = plainly) -> None:
        super().__init__()
        self.call = call
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.cls, self.pos = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 17, 8))
        self.blocks = nn.ModuleList([Encoder(8), Encoder(8)])
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        for block in self.blocks:
            x = self.call(block, x)
        return self.head(self.norm(x)[:, 0])


class UNet(nn.Module):
    inner = "bottom.conv1"

    def __init__(self, call: Call = plainly) -> None:
        super().__init__()
        self.call = call
        self.down, self.bottom = nn.Conv2d(3, 4, 3, padding=1), Block(4)
        self.up, self.out = nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = F.relu(self.down(x))
        low = self.call(self.bottom, F.max_pool2d(skip, 2))
        return self.out(torch.cat([self.up(low), skip], 1))


class Rows(nn.Module):
    """The rows of an image as a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(48, 6, num_layers=2, batch_first=True, dropout=0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


class Recurrent(nn.Module):
    inner = "rows"

    def __init__(self, call: Call = plainly) -> None:
        super().__init__()
        self.call = call
        self.rows, self.head = Rows(), nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.call(self.rows, x.permute(0, 2, 1, 3).flatten(2))[:, -1])


ARCHITECTURES: tuple[type[Any], ...] = (Residual, Transformer, UNet, Recurrent)
SIZE = (16, 16)


def built(kind: type[Any], call: Call = plainly) -> Any:
    """A model in evaluation mode whose weights depend on its kind alone."""
    torch.manual_seed(0)
    model = kind(call)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()
