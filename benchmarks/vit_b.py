"""ViT-B/16 with random weights in both frameworks (Dosovitskiy et al. 2021), so that the benchmark needs no other package."""

from __future__ import annotations

from typing import Any

__all__ = ["DEPTH", "vit_b"]

SIZE, PATCH, DIM, DEPTH, HEADS, HIDDEN = 224, 16, 768, 12, 12, 3072
TOKENS = 1 + (SIZE // PATCH) ** 2


def vit_b(backend: str) -> Any:
    """A ``torch.nn.Module`` or a ``flax.nnx.Module``, in evaluation mode; its blocks are ``blocks.0`` to ``blocks.11``."""
    return _torch() if backend == "torch" else _nnx()


def _torch() -> Any:
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
            self.qkv, self.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
            self.fc1, self.fc2 = nn.Linear(DIM, HIDDEN), nn.Linear(HIDDEN, DIM)

        def forward(self, x: Any) -> Any:
            qkv = self.qkv(self.norm1(x)).reshape(*x.shape[:2], 3, HEADS, DIM // HEADS)
            query, key, value = qkv.permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(x.shape)
            x = x + self.proj(mixed)
            return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch_embed = nn.Conv2d(3, DIM, PATCH, PATCH)
            self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, DIM))
            self.pos_embed = nn.Parameter(0.02 * torch.randn(1, TOKENS, DIM))
            self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
            self.norm, self.head = nn.LayerNorm(DIM), nn.Linear(DIM, 1000)

        def embed(self, x: Any) -> Any:
            patches = self.patch_embed(x).flatten(2).transpose(1, 2)
            return torch.cat([self.cls_token.expand(len(x), -1, -1), patches], dim=1) + self.pos_embed

        def forward(self, x: Any) -> Any:
            x = self.embed(x)
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x)[:, 0])

    torch.manual_seed(0)
    return ViT().eval()


def _nnx() -> Any:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    class Block(nnx.Module):  # type: ignore[misc]
        def __init__(self, rngs: Any) -> None:
            self.norm1, self.norm2 = nnx.LayerNorm(DIM, rngs=rngs), nnx.LayerNorm(DIM, rngs=rngs)
            self.qkv, self.proj = nnx.Linear(DIM, 3 * DIM, rngs=rngs), nnx.Linear(DIM, DIM, rngs=rngs)
            self.fc1, self.fc2 = nnx.Linear(DIM, HIDDEN, rngs=rngs), nnx.Linear(HIDDEN, DIM, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            qkv = self.qkv(self.norm1(x)).reshape(*x.shape[:2], 3, HEADS, DIM // HEADS)
            mixed = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]).reshape(x.shape)
            x = x + self.proj(mixed)
            return x + self.fc2(jax.nn.gelu(self.fc1(self.norm2(x)), approximate=False))

    class ViT(nnx.Module):  # type: ignore[misc]
        def __init__(self, rngs: Any) -> None:
            self.patch_embed = nnx.Conv(3, DIM, (PATCH, PATCH), (PATCH, PATCH), rngs=rngs)
            self.cls_token = nnx.Param(0.02 * jax.random.normal(rngs.params(), (1, 1, DIM)))
            self.pos_embed = nnx.Param(0.02 * jax.random.normal(rngs.params(), (1, TOKENS, DIM)))
            self.blocks = nnx.List([Block(rngs) for _ in range(DEPTH)])
            self.norm, self.head = nnx.LayerNorm(DIM, rngs=rngs), nnx.Linear(DIM, 1000, rngs=rngs)

        def embed(self, x: Any) -> Any:
            patches = self.patch_embed(x).reshape(len(x), -1, DIM)
            classes = jnp.broadcast_to(self.cls_token[...], (len(x), 1, DIM))
            return jnp.concatenate([classes, patches], axis=1) + self.pos_embed[...]

        def __call__(self, x: Any) -> Any:
            x = self.embed(x)
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x)[:, 0])

    return ViT(nnx.Rngs(0))
