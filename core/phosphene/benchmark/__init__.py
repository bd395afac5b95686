"""Time the steps of a render on each backend, device and precision of this machine."""

from __future__ import annotations

from phosphene.benchmark.call import bench
from phosphene.benchmark.result import Benchmark, Row

__all__ = ["Benchmark", "Row", "bench"]
