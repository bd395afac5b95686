"""What reading three layers of many images costs over a truncated forward pass written by hand, in one process.

``python benchmarks/extraction.py [--backend torch jax] [--rounds 7] [--images 64]``

ResNet-50 with random weights, 224 px. The hand-written pass of PyTorch runs the modules up to the last of the three layers on a
channels_last image without gradients; that of JAX is one jitted function that returns the three. Both leave them in NumPy arrays,
as `phosphene.activations` does. The pass by hand takes all images at once or a few at a time, whichever is faster.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, SIZE, Work, calibrated, row, said, spent, turns, write
from numpy.typing import NDArray
from resnet50 import resnet50

import phosphene as ph

WANTED = ("layer1", "layer2", "layer3")
TARGET, FEW = 1.05, 16
QUESTION = "What does reading three layers cost over a truncated forward pass written by hand?"
NOTES = (
    "A ratio is the time of phosphene.activations over that of the pass by hand in the same round, both into NumPy arrays.",
    "The pass by hand takes all images at once or sixteen at a time, whichever is faster in a trial.",
)

Pass = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


def torch_pass(model: Any) -> Pass:
    """Forward to the end of the last layer that is wanted, nothing after it."""
    import torch

    def forward(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        found = []
        with torch.inference_mode():
            x = torch.from_numpy(images).permute(0, 3, 1, 2)
            x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
            for name in WANTED:
                x = getattr(model, name)(x)
                found.append(x.permute(0, 2, 3, 1).numpy())
        return found

    return forward


def jax_pass(model: Any) -> Pass:
    """The same, jitted."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    graph, state = nnx.split(model)

    @jax.jit
    def forward(state: Any, x: Any) -> list[Any]:
        copy, found = nnx.merge(graph, state), []
        x = nnx.max_pool(nnx.relu(copy.bn1(copy.conv1(x))), (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for name in WANTED:
            x = getattr(copy, name)(x)
            found.append(x)
        return found

    return lambda images: [np.asarray(array) for array in forward(state, jnp.asarray(images))]


def in_parts(forward: Pass, images: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    """The pass over `size` images at a time, into arrays for all."""
    if size >= len(images):
        return forward(images)
    whole: list[NDArray[np.float32]] = []
    for start in range(0, len(images), size):
        part = forward(images[start : start + size])
        whole = whole or [np.empty((len(images), *array.shape[1:]), array.dtype) for array in part]
        for into, array in zip(whole, part, strict=True):
            into[start : start + size] = array
    return whole


def compare(backend: str, count: int, rounds: int) -> dict[str, Any]:
    """The row of a backend; the values of both must agree."""
    model = calibrated() if backend == "torch" else resnet50("jax")
    network = ph.wrap(model, size=SIZE)
    forward = torch_pass(model) if backend == "torch" else jax_pass(model)
    images = np.random.default_rng(0).random((count, SIZE, SIZE, 3), np.float32)

    def ours() -> dict[str, NDArray[np.floating]]:
        return ph.activations(network, images, WANTED, progress=False)

    def by_hand(size: int) -> Work:
        return lambda: in_parts(forward, images, size)

    for name, array in zip(WANTED, in_parts(forward, images, FEW), strict=True):
        np.testing.assert_allclose(ours()[name], array, rtol=1e-3, atol=1e-3 * float(np.abs(array).max()))
    ways = {}
    for size in (FEW, count):
        by_hand(size)()
        ways[size] = min(spent(by_hand(size))[0] for _ in range(2))
    size = min(ways, key=lambda size: ways[size])
    print(", ".join(f"by hand, {size} at a time, {seconds:.2f} s" for size, seconds in ways.items()), flush=True)
    names = {"torch": "PyTorch", "jax": "JAX"}
    case = f"{names[backend]}: {', '.join(WANTED)} of {count} images, {SIZE} px; by hand {size} at a time"
    return row(case, TARGET, turns({"by hand": by_hand(size), "phosphene": ours}, rounds), "phosphene", "by hand")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare as the arguments say, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", choices=("torch", "jax"), default=["torch", "jax"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--out", type=Path, default=RESULTS / "extraction.json")
    given = parser.parse_args(arguments)
    rows, threads = [], None
    for number, backend in enumerate(given.backend, start=1):
        rows.append(compare(backend, given.images, given.rounds))
        print(said(rows[-1]), flush=True)
        if backend == "torch":
            import torch

            threads = torch.get_num_threads()
        packages = given.backend[:number]
        write(given.out, "extraction", QUESTION, rows, threads=threads, packages=packages, notes=NOTES)


if __name__ == "__main__":
    main()
