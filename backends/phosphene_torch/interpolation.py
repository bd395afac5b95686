"""Exact affine resampling by ``grid_sample``."""

from __future__ import annotations

import array_api_compat.torch as xp
import torch
import torch.nn.functional as F

from phosphene import warps
from phosphene.types import Size

__all__ = ["warp"]


def warp(images: torch.Tensor, matrices: torch.Tensor, size: Size, *, fill: float) -> torch.Tensor:
    """See `phosphene.warps.warp`; for any affine map, by ``grid_sample``.

    ``grid_sample`` takes coordinates in [-1, 1] and converts them back to pixels, which rounds twice. For an image padded to
    ``2^k + 1`` pixels both conversions are multiplications by powers of two, so coordinates stay exact. The padding has the
    value `fill`, which the border mode extends outwards.
    """
    _, height, width, _ = images.shape
    padded = 2 ** max(1, max(height, width).bit_length()) + 1
    # Scaling the six numbers of a matrix instead of all coordinates gives the same result, since powers of two are exact.
    scale = 2.0 / (padded - 1)
    within = matrices * scale
    within[..., 2] += scale - 1.0
    grid = torch.stack(warps.coordinates(xp, within, size), dim=-1)
    planes = F.pad(images.permute(0, 3, 1, 2), (1, padded - width - 1, 1, padded - height - 1), value=fill)
    sampled = F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled.permute(0, 2, 3, 1)
