"""Transforms between the image and the network, drawn anew at every step: they make a picture robust to being moved.

All draws are made on the host, by a generator a target.
"""

from __future__ import annotations

from phosphene.transforms.affine import Pad, Resize, crop, flip, jitter, pad, resize, rotate, scale
from phosphene.transforms.contract import Affine, Pointwise, Transform
from phosphene.transforms.pointwise import colour, noise, roll

__all__ = [
    "Affine",
    "Pad",
    "Pointwise",
    "Resize",
    "Transform",
    "colour",
    "crop",
    "flip",
    "jitter",
    "noise",
    "pad",
    "resize",
    "roll",
    "rotate",
    "scale",
]
