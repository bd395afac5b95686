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
    pixels both conversions are multiplications by powers of two, and the coordinates stay exact. What is added all around has the
    value that stands outside, so that whatever lies further out is its nearest pixel.
    """
    _, height, width, _ = images.shape
    padded = 2 ** max(1, max(height, width).bit_length()) + 1
    # What turns pixels into [-1, 1] is done to the six numbers of a matrix, not to each coordinate: powers of two are exact.
    scale = 2.0 / (padded - 1)
    within = matrices * scale
    within[..., 2] += scale - 1.0
    grid = torch.stack(warps.coordinates(xp, within, size), dim=-1)
    planes = F.pad(images.permute(0, 3, 1, 2), (1, padded - width - 1, 1, padded - height - 1), value=fill)
    sampled = F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled.permute(0, 2, 3, 1)
