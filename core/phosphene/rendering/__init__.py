"""From objectives and a recipe to pictures, and back from a picture to the run that made it."""

from __future__ import annotations

from phosphene.rendering.call import render
from phosphene.rendering.replays import replay
from phosphene.rendering.result import Renders

__all__ = ["Renders", "render", "replay"]
