"""``python -m phosphene`` is the program ``phosphene``."""

from __future__ import annotations

from phosphene.cli import main

main()
