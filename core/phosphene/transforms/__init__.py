"""Random transforms of the image, drawn anew at every step, so that pictures do not depend on exact pixel positions.

Random numbers are drawn on the host, by one generator per target.
"""

from __future__ import annotations

from phosphene.transforms.affine import crop, flip, jitter, pad, resize, rotate, scale
from phosphene.transforms.kinds import Affine, Pointwise, Transform
from phosphene.transforms.pointwise import colour, noise, roll

__all__ = [
    "Affine",
    "Pointwise",
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
