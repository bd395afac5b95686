"""An atlas whose making was killed, step by step, and files that were damaged: run again it ends as if nothing had been."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from built_atlases import CHART, same_atlas
from phosphene import errors
from phosphene.atlas import Atlas, chart

pytest.importorskip("zarr")
pytest.importorskip("sklearn")

# A process that kills itself as it writes a file of a given name: before ("before"), with half of it on disk ("half"), or when all
# of it is there and the next is not ("after").
KILLING = """
import os, signal, sys, tempfile
from pathlib import Path
import phosphene.atlas.points as points
import phosphene.atlas.steps as steps
import phosphene.store.receipt as receipt
import phosphene.store.store as store
from phosphene.kit.writing import write_whole

doomed, moment = os.environ.get("DOOMED", ""), os.environ.get("MOMENT", "")

def deadly(path, content):
    if path.name == doomed:
        if moment == "half":
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, _ = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            os.write(handle, content[: len(content) // 2])
        if moment == "after":
            write_whole(path, content)
        os.kill(os.getpid(), signal.SIGKILL)
    write_whole(path, content)

steps.write_whole = store.write_whole = receipt.write_whole = deadly
"""

CHARTING = """
import numpy as np
from phosphene.atlas import *
random = np.random.default_rng(0)
rows = np.abs(random.normal(size=(300, 6))).astype(np.float32)
atlas = Atlas.from_activations({"a": rows}, sys.argv[1], logits=rows)
chart(atlas, settings=ChartSettings(
    graph=GraphSettings(15), layout=LayoutSettings("pca"), grid=GridSettings((2, 4)), measures=MeasureSettings(10)
), progress=False)
"""

BUILDING = """
import phosphene as ph
import phosphene.atlas.icons as icons
from phosphene.atlas import *
icons.SHARD = 8
points.SHARD_BYTES = 1
ph.Atlas.build(
    ph.load("specimen", backend=sys.argv[2]), "photos:160:5", ["stage2", "stage3"], sys.argv[1], levels=(2, 4), progress=False,
    settings=BuildSettings(
        ChartSettings(graph=GraphSettings(15), layout=LayoutSettings("pca"), measures=MeasureSettings(10)),
        IconSettings(steps=6, steps_from_parent=4, tries=1), PatchSettings(1),
    ),
)
"""


def _run(script: str, folder: Path, *arguments: str, doomed: str = "", moment: str = "half") -> int:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLING) + textwrap.dedent(script), str(folder), *arguments],
        env={**os.environ, "DOOMED": doomed, "MOMENT": moment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def _killed_and_run_again(script: str, tmp_path: Path, doomed: list[tuple[str, str]], *arguments: str) -> Atlas:
    """One folder whose making is killed at every file in turn, held against one that was made in peace."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for name, moment in doomed:
        assert _run(script, killed, *arguments, doomed=name, moment=moment) == -signal.SIGKILL, (name, moment)
        # What is there can be read, and the step that was being written is not there.
        if (killed / "points" / "manifest.json").exists():
            part = Atlas.open(killed)
            assert all(part.steps.read(step).arrays for step in part.steps.names)
            assert not name.endswith(".npz") or name.removesuffix(".npz") not in part.steps.names
    assert _run(script, killed, *arguments) == 0 and _run(script, whole, *arguments) == 0
    same_atlas(Atlas.open(killed), Atlas.open(whole))
    return Atlas.open(killed)


def test_killed_while_it_charts(tmp_path: Path) -> None:
    doomed = [("000000.json", "before"), ("layout.a.npz", "half")]
    _killed_and_run_again(CHARTING, tmp_path, doomed)


@pytest.mark.slow
def test_killed_in_every_stage(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    doomed = [
        ("000000.json", "before"),
        ("000001.json", "half"),
        ("moments.stage2.npz", "half"),
        ("neighbours.stage2.json", "before"),
        ("layout.stage2.npz", "after"),
        ("grid.stage2.npz", "half"),
        ("layout.stage3.json", "half"),
        ("measures.stage3.npz", "half"),
        ("labels.stage3.json", "before"),
        ("clusters.stage3.npz", "after"),
        ("icons.stage2.2.0000.npz", "half"),
        ("icons.stage3.4.0000.json", "half"),
        ("icons.stage3.4.0001.npz", "before"),
        ("patches.stage2.npz", "half"),
        ("patches.stage3.json", "before"),
    ]
    atlas = _killed_and_run_again(BUILDING, tmp_path, doomed, "torch")
    assert atlas.store.manifest.shards > 1 and "icons.stage3.4.0001" in atlas.steps.names


@pytest.mark.slow
def test_killed_while_it_draws_on_jax(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    _killed_and_run_again(BUILDING, tmp_path, [("icons.stage3.4.0000.json", "half")], "jax")


def _atlas(folder: Path) -> Atlas:
    rows = np.abs(np.random.default_rng(0).normal(size=(300, 6))).astype(np.float32)
    return Atlas.from_activations({"a": rows}, folder, logits=rows)


def test_a_bit_that_flips_in_any_step_is_named_and_the_step_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = chart(_atlas(tmp_path / "whole"), settings=CHART, progress=False)
    shutil.copytree(whole.folder, tmp_path / "damaged")
    damaged, random = Atlas.open(tmp_path / "damaged"), np.random.default_rng(1)
    for name in whole.steps.names:
        path = damaged.steps.folder / f"{name}.npz"
        content = bytearray(path.read_bytes())
        content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
        path.write_bytes(content)
        with pytest.raises(errors.CorruptStore, match=rf"{name}\.npz: damaged"):
            damaged.steps.read(name)
        with caplog.at_level(logging.WARNING, "phosphene"):
            caplog.clear()
            chart(damaged, settings=CHART, progress=False)
        assert f"{name}.npz" in caplog.text and "It is computed again" in caplog.text
    same_atlas(damaged, whole)


@pytest.mark.parametrize("harm", ["empty", "half", "gone"])
def test_a_step_that_is_cut_short_or_gone_is_made_again(tmp_path: Path, harm: str) -> None:
    whole = chart(_atlas(tmp_path / "whole"), settings=CHART, progress=False)
    shutil.copytree(whole.folder, tmp_path / "damaged")
    damaged = Atlas.open(tmp_path / "damaged")
    path = damaged.steps.folder / "grid.a.npz"
    content = path.read_bytes()
    path.unlink() if harm == "gone" else path.write_bytes(content[: len(content) // 2 if harm == "half" else 0])
    with pytest.raises(errors.CorruptStore, match=r"grid\.a\.npz"):
        damaged.grid("a")
    same_atlas(chart(damaged, settings=CHART, progress=False), whole)


def test_an_entry_that_is_damaged_is_named_with_the_way_out(tmp_path: Path) -> None:
    atlas = chart(_atlas(tmp_path), settings=CHART, progress=False)
    path = atlas.steps.folder / "grid.a.json"
    content = path.read_bytes()
    for harm in (b"", content[: len(content) // 2], b"[1, 2]", b"\xff\xfe" + content):
        path.write_bytes(harm)
        with pytest.raises(errors.CorruptFile, match=r"grid\.a\.json.*Delete it to compute the step again"):
            chart(atlas, settings=CHART, progress=False)
    path.unlink()
    chart(atlas, settings=CHART, progress=False)
    assert path.read_bytes() == content


LIMITED = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from phosphene.errors import UnwritablePath
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    exec(sys.argv[2])
except UnwritablePath as error:
    print(error, file=sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_system_that_refuses_for_real(tmp_path: Path) -> None:
    """No file may be larger than 20 kB: the graph does not fit, what is before it does."""
    pytest.importorskip("resource")
    atlas = _atlas(tmp_path)
    assert _run(LIMITED, tmp_path, textwrap.dedent(CHARTING)) == -signal.SIGKILL
    assert atlas.steps.names == ("moments.a",) and len(list(atlas.steps.folder.iterdir())) == 2
    assert _run(CHARTING, tmp_path) == 0
    assert "clusters.a" in Atlas.open(tmp_path).steps.names
