"""Errors come whole out of another process."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from phosphene import errors

MADE: list[errors.PhospheneError] = [
    errors.InvalidParameter("size", allowed="pixels", received=0, fix="Give some."),
    errors.UnknownLayer("stage9", ["stage1", "stage2"], "specimen"),
    errors.UnknownClass("coin", ["coins"], 1),
    errors.InvalidImages("images", allowed="floats", received=errors.said("bytes")),
    errors.MissingDependency("umap-learn", "umap"),
    errors.CorruptFile("a.jpg", "no picture"),
    errors.CorruptStore("a", "shard 1 is damaged"),
    errors.CorruptWeights("w", "damaged"),
    errors.MissingWeights("w", "here", "there", "no route"),
    errors.UnwritablePath("out", "No space left on device"),
    errors.OtherStore("out: another"),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_pickled_and_copied_they_say_the_same(error: errors.PhospheneError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error) and str(again) == str(error) and again.__dict__ == error.__dict__


def test_every_exception_that_takes_more_than_a_message_is_tried() -> None:
    own = {kind for kind in vars(errors).values() if inspect.isclass(kind) and "__init__" in vars(kind)}
    assert own <= {type(error) for error in MADE}
