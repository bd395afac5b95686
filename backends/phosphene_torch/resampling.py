"""Affine resampling by ``grid_sample``, made exact."""

from __future__ import annotations

import array_api_compat.torch as xp
import torch
import torch.nn.functional as F

from phosphene import warps
from phosphene.types import Size

__all__ = ["warp"]


def warp(images: torch.Tensor, matrices: torch.Tensor, size: Size, *, fill: float) -> torch.Tensor:
    """See `phosphene.warps.warp`; any affine map, through ``grid_sample``.

    ``grid_sample`` wants coordinates in [-1, 1] and turns them back into pixels, which rounds twice. Padded to ``2^k + 1``
    pixels both conversions are multiplications by powers of two, and the coordinates stay exact.
    """
    _, height, width, _ = images.shape
    padded = 2 ** max(1, (max(height, width) - 2).bit_length()) + 1
    x, y = warps.coordinates(xp, matrices, size)
    grid = torch.stack([x, y], dim=-1) * (2.0 / (padded - 1)) - 1.0
    centred = F.pad(images.permute(0, 3, 1, 2) - fill, (0, padded - width, 0, padded - height))
    sampled = F.grid_sample(centred, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return (sampled + fill).permute(0, 2, 3, 1)
