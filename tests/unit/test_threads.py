"""Libraries that start threads of their own leave those of PyTorch as they were."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from phosphene.kit.threads import threads_kept

torch = pytest.importorskip("torch")
pytest.importorskip("umap")

PROGRAM = """
import numpy as np, torch
from phosphene.atlas import GraphSettings
from phosphene.atlas.layout import lay_out
from phosphene.atlas.neighbours import neighbour_graph
rows = np.random.default_rng(0).normal(size=(300, 8)).astype("f4")
torch.set_num_threads(1)
before = torch.get_num_threads()  # From now on it counts those that OpenMP has.
{call}
print(before, torch.get_num_threads())
"""


def test_pools_are_put_back_also_after_an_error() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with threads_kept():
            torch.set_num_threads(before + 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.get_num_threads() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        "lay_out(rows, neighbour_graph(rows))",
        "neighbour_graph(np.tile(rows, (10, 1)) + np.arange(3000, dtype='f4')[:, None], GraphSettings(exact_up_to=100))",
        "import phosphene as ph; images = np.random.default_rng(0).random((40, 64, 64, 3));"
        "ph.embed(ph.load('specimen', backend='torch'), images, 'stage3', method='umap', n_epochs=5)",
    ],
    ids=["layout", "graph", "embedding"],
)
def test_numba_does_not_widen_the_pool_of_torch(call: str) -> None:
    """It does so once in a process, when it first runs in parallel, and PyTorch sums in another order from then on."""
    environment = os.environ | {"NUMBA_NUM_THREADS": "3", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(call=call)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "1"]
