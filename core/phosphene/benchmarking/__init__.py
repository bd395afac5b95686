"""How fast the steps of a render are on each backend, device and precision that this machine has for a model."""

from __future__ import annotations

from phosphene.benchmarking.race import bench
from phosphene.benchmarking.report import Benchmark, Row

__all__ = ["Benchmark", "Row", "bench"]
