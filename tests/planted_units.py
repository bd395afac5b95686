"""Tiny networks whose units are known to answer to one pattern each, wherever it is within a few pixels: the truth to be found.

A unit is the normalised correlation of what it sees with its pattern, the largest within a neighbourhood, above a threshold: what
excites it most is the pattern and nothing else, in any contrast that outweighs the constant in the norm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import phosphene as ph
from columns import chosen
from phosphene.backend import Network

SIDE, CANVAS, POOL, THRESHOLD, GAIN = 24, 40, 9, 0.2, 20.0


def patterns() -> dict[str, NDArray[np.float64]]:
    """Four patterns ``(24, 24, 3)``, each colour of mean zero, of length 1."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    envelope = np.exp(-(x**2 + y**2) / (2 * 7.0**2))
    grating = (envelope * np.cos(2 * np.pi * (x * np.cos(0.6) + y * np.sin(0.6)) / 8))[..., None] * np.ones(3)
    inside = 1 / (1 + np.exp((np.hypot(x, y) - 7) / 0.8))[..., None]
    disc = inside * np.array([1, 0.2, -0.8]) + (1 - inside) * np.array([-0.3, 0, 0.3])
    sheet = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(sheet).text((5, -2), "A", fill=255, font=ImageFont.load_default(size=22))
    letter = (np.asarray(sheet.filter(ImageFilter.GaussianBlur(0.7))) / 255)[..., None] * np.ones(3)
    mark = np.zeros((SIDE, SIDE, 3))
    mark[2:12, 2:12], mark[5:9, 5:9] = [1, 1, -1], [-1, -1, 1]
    found = {}
    for name, pattern in {"grating": grating, "disc": disc, "letter": letter, "corner mark": mark}.items():
        centred = pattern - pattern.mean((0, 1))
        found[name] = centred / np.linalg.norm(centred)
    return found


def planted(backend: str) -> Network:
    """The network, its one layer called ``unit``, a channel a pattern."""
    filters = np.stack(list(patterns().values())).astype(np.float32)
    return ph.wrap(chosen({"torch": _torch, "jax": _jax}, backend)(filters), size=CANVAS, name="planted")


def correlation(image: NDArray[Any], pattern: NDArray[np.float64]) -> float:
    """Pearson's, of the window of an image that is most like a pattern."""
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), pattern.shape)[:, :, 0]
    centred = windows - windows.mean((2, 3), keepdims=True)
    lengths = np.sqrt((centred**2).sum((2, 3, 4)) + 1e-12)
    return float(((centred * pattern).sum((2, 3, 4)) / lengths).max())


def _torch(filters: NDArray[np.float32]) -> Any:
    import torch
    import torch.nn.functional as F

    class Planted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filters = torch.nn.Parameter(torch.from_numpy(filters).permute(0, 3, 1, 2))
            self.mean = torch.nn.Parameter(torch.full((3, 1, SIDE, SIDE), 1 / SIDE**2))
            self.unit = torch.nn.ReLU()

        def forward(self, x: Any) -> Any:
            x = x - 0.5
            mean, square = (F.conv2d(y, self.mean, groups=3) for y in (x, x * x))
            length = torch.sqrt(SIDE**2 * (square - mean * mean).sum(1, keepdim=True) + 1.0)
            nearest = F.max_pool2d(F.conv2d(x, self.filters) / length, POOL, 1)
            return self.unit(GAIN * (nearest - THRESHOLD))

    return Planted().eval()


def _jax(filters: NDArray[np.float32]) -> Any:
    import jax
    import jax.numpy as jnp
    from jax.ad_checkpoint import checkpoint_name

    kernel = jnp.asarray(np.moveaxis(filters, 0, -1))
    average = jnp.full((SIDE, SIDE, 1, 3), 1 / SIDE**2)

    def convolved(x: Any, kernel: Any, groups: int = 1) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=layout, feature_group_count=groups
        )

    def function(x: Any) -> Any:
        x = x - 0.5
        mean, square = (convolved(y, average, 3) for y in (x, x * x))
        length = jnp.sqrt(SIDE**2 * (square - mean * mean).sum(-1, keepdims=True) + 1.0)
        ratio = convolved(x, kernel) / length
        nearest = jax.lax.reduce_window(ratio, -jnp.inf, jax.lax.max, (1, POOL, POOL, 1), (1, 1, 1, 1), "VALID")
        return checkpoint_name(jax.nn.relu(GAIN * (nearest - THRESHOLD)), "unit").mean((1, 2))

    return function
