"""Files of an atlas that are damaged, exchanged, or hold the arrays of another step."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phosphene.atlas import Atlas
from phosphene.atlas.points import left_out
from phosphene.errors import CorruptFile, CorruptStore
from small_atlases import small_atlas

pytest.importorskip("zarr")


def rewritten(atlas: Atlas, name: str, **changes: Any) -> None:
    """A step whose digest is right and whose arrays are others."""
    folder = atlas.steps.folder
    with np.load(folder / f"{name}.npz") as found:
        arrays = {key: value for key, value in ({**found} | changes).items() if value is not None}
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    (folder / f"{name}.npz").write_bytes(stream.getvalue())
    entry = json.loads((folder / f"{name}.json").read_text())
    entry["digest"] = hashlib.blake2b(stream.getvalue(), digest_size=16).hexdigest()
    (folder / f"{name}.json").write_text(json.dumps(entry))


def test_arrays_of_another_step_are_refused(tmp_path: Path) -> None:
    atlas = small_atlas(tmp_path)
    size = atlas.grid("a").levels[0].size
    cases = {
        "grid.a": (lambda: atlas.grid("a"), {f"{size}.members": np.array([10**6])}),
        "layout.a": (lambda: atlas.layout("a"), {"points": np.zeros((600, 3), np.float32)}),
        "neighbours.a": (lambda: atlas.neighbours("a"), {"indices": np.full((600, 20), 600, np.int32)}),
        "moments.a": (lambda: atlas.whitening("a"), {"products": None}),
        "measures.a": (lambda: atlas.measures("a"), {"recall": np.array(["much"])}),
        "labels.a": (lambda: atlas.labels("a", size), {f"{size}.classes": np.full((1, 1), 99, np.int32)}),
        "clusters.a": (lambda: atlas.clusters("a", size), {f"{size}.cluster_of": np.full(600, -1, np.int32)}),
        f"icons.a.{size}.0000": (lambda: atlas.icons("a", size), {"groups": np.array([10**6])}),
    }
    for name, (_, changes) in cases.items():
        if not name.startswith("grid"):
            rewritten(atlas, name, **changes)
    for name, (read, changes) in reversed(cases.items()):
        if name.startswith("grid"):
            rewritten(atlas, name, **changes)
        with pytest.raises(
            CorruptStore, match=f"its arrays are not those of the step '{name}'.* compute the step again"
        ):
            read()


def test_exchanged_files_and_changed_settings_are_told(tmp_path: Path) -> None:
    atlas = small_atlas(tmp_path)
    first, second = (atlas.steps.folder / f"layout.{layer}.json" for layer in ("a", "deep%2Fb"))
    content = first.read_text()
    first.write_text(second.read_text())
    with pytest.raises(CorruptFile, match=r"layout\.a\.json: .* Delete it to compute the step again"):
        atlas.layout("a")
    entry = json.loads(content)
    entry["settings"]["seed"] = 1
    first.write_text(json.dumps(entry))
    with pytest.raises(CorruptFile, match="Delete it to compute the step again"):
        atlas.layout("a")
    first.write_text(json.dumps({**json.loads(content), "later": "passed over"}))
    assert len(atlas.layout("a").points) == 600


@pytest.mark.parametrize("text", ["{", "[]", '{"a": -1}', '{"a": 1.5}', '{"a": 601}', '{"a": true}', '{"a": NaN}'])
def test_points_left_out_are_counted_or_the_file_is_named(tmp_path: Path, text: str) -> None:
    atlas = small_atlas(tmp_path, charted=False)
    path = tmp_path / "points" / "left_out" / "000000.json"
    path.parent.mkdir()
    path.write_text('{"a": 2}')
    assert left_out(atlas.store) == {"a": 2}
    path.write_text(text)
    with pytest.raises(CorruptFile, match=r"left_out/000000\.json: damaged.* Delete it, and shards/000000\.json"):
        left_out(atlas.store)
