"""Settings that make an atlas small and quick, and when two are the same."""

from __future__ import annotations

import numpy as np

from phosphene.atlas import (
    Atlas,
    BuildSettings,
    ChartSettings,
    GraphSettings,
    GridSettings,
    IconSettings,
    LayoutSettings,
    MeasureSettings,
    PatchSettings,
)

CHART = ChartSettings(
    graph=GraphSettings(15), layout=LayoutSettings("pca"), grid=GridSettings((4, 8)), measures=MeasureSettings(10)
)
SETTINGS = BuildSettings(CHART, IconSettings(steps=24, steps_from_parent=16, tries=2), PatchSettings(2))
QUICK = BuildSettings(CHART, IconSettings(steps=4, steps_from_parent=2, tries=1), PatchSettings(2))
NONE = BuildSettings(CHART, None, None)


def same_atlas(one: Atlas, other: Atlas) -> None:
    """Every array of two atlases is the same, and so is where each step comes from."""
    assert one.steps.names == other.steps.names and one.identity == other.identity
    assert one.store.complete and one.store.verify() == []
    for name in one.store.names:
        np.testing.assert_array_equal(one.store.read(name), other.store.read(name))
    for name in one.steps.names:
        mine, theirs = one.steps.read(name), other.steps.read(name)
        assert mine.identity == theirs.identity and mine.arrays.keys() == theirs.arrays.keys()
        for key, values in mine.arrays.items():
            np.testing.assert_array_equal(values, theirs.arrays[key], err_msg=f"{name} {key}")
