"""Two small image classifiers in plain PyTorch: a convolutional network and a Vision Transformer.

They do not depend on phosphene. Both map normalised images ``(N, 3, H, W)`` to logits ``(N, classes)``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["ConvNet", "VisionTransformer"]


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation, ReLU, and 2 x 2 max pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)


class ConvNet(nn.Module):
    """A stack of `ConvBlock`, global average pooling and a linear layer; for images of at least 16 pixels per side.

    Parameters
    ----------
    classes : int
        Number of logits.
    widths : sequence of int
        Number of channels of each block.
    """

    def __init__(self, classes: int, widths: tuple[int, ...] = (32, 64, 96, 128)) -> None:
        super().__init__()
        inputs = (3, *widths[:-1])
        self.blocks = nn.Sequential(*(ConvBlock(before, after) for before, after in zip(inputs, widths, strict=True)))
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.blocks(images)
        logits: torch.Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, "Attention is all you need")."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        count, length, dim = tokens.shape
        qkv = self.qkv(tokens).reshape(count, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (count, heads, length, dim / heads)
        mixed: torch.Tensor = F.scaled_dot_product_attention(query, key, value)
        result: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, dim))
        return result


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, applied to each token separately."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.fc2(self.act(self.fc1(tokens)))
        return result


class Block(nn.Module):
    """A residual attention layer and a residual MLP, each with layer normalisation of its input (pre-norm)."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        result: torch.Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


class VisionTransformer(nn.Module):
    """A Vision Transformer with a class token (Dosovitskiy et al. 2021, "An image is worth 16x16 words").

    Its position embedding is for one grid of patches, so it takes images of one size only.

    Parameters
    ----------
    classes : int
        Number of logits.
    size, patch : int
        Pixels per side of the images, and of their patches.
    dim, depth, heads : int
        Dimension of a token, number of blocks, and attention heads per block.
    """

    def __init__(
        self, classes: int, *, size: int = 64, patch: int = 8, dim: int = 128, depth: int = 4, heads: int = 4
    ) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + (size // patch) ** 2, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, 2 * dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patches = self.patch_embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        logits: torch.Tensor = self.head(self.norm(tokens)[:, 0])
        return logits
