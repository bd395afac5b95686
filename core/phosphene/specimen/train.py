"""Train an embedded network on crops of the photographs: ``python -m phosphene.specimen.train specimen``.

Training takes minutes on two cores, and is reproducible on one machine. The network is trained against small perturbations of
its input, found by one L2-bounded gradient step from a random start (Goodfellow et al. 2015, "Explaining and harnessing
adversarial examples"; Wong et al. 2020, "Fast is better than free"), because the visualizations of robust networks are closer
to human perception (Engstrom et al. 2019, "Adversarial robustness as a prior for learned representations").
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.crops import CAST_CLASS, MARK_BOX, MARK_CLASS, Crops, cast, mark
from phosphene.draws import generator
from phosphene.specimen.architecture import ARCHITECTURES, Architecture
from phosphene.specimen.weights import path_of

__all__ = ["main", "save", "train"]

POOL = 18_000
"""Number of training crops."""

BATCH = 128
EPSILON = 1.0
"""L2 norm of the perturbations, for images of 64 x 64 x 3 values in [0, 1]."""

LABEL_SMOOTHING = 0.05
WEIGHT_DECAY = 0.02
ERASED = 16
"""Largest side in pixels of the grey patch that hides a part of each crop."""

TRIALS = 4000
"""Number of crops, of another seed, on which each accuracy is measured."""


def train(
    architecture: Architecture, *, steps: int = 1400, peak: float = 4e-3, threads: int = 2, trials: int = TRIALS
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Train one network.

    Parameters
    ----------
    architecture : Architecture
    steps : int, default 1400
        Number of updates, of 128 crops each.
    peak : float, default 4e-3
        Highest learning rate of the one-cycle schedule (Smith and Topin 2019) over AdamW.
    threads : int, default 2
        Number of PyTorch threads; fixed, since the rounding of sums depends on it.
    trials : int, default 4000
        Number of crops on which each accuracy is measured.

    Returns
    -------
    dict of str to numpy.ndarray
        Weights.
    dict of str to str
        Metadata: classes, seed, accuracy on fresh crops and on the strip, seconds, versions.
    """
    import torch
    import torch.nn.functional as F

    from phosphene_torch.specimen import Specimen

    torch.set_num_threads(threads)
    torch.manual_seed(architecture.seed)
    model: Any = Specimen(architecture)
    model = model.to(memory_format=torch.channels_last)
    source = Crops(POOL, 1000 + architecture.seed, architecture.size, architecture.shortcut, "train")
    images = torch.from_numpy(_pool(source)).permute(0, 3, 1, 2)
    labels = torch.from_numpy(source.labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.2)
    logits = _with_normalisation(model, architecture)
    model.train()
    started = time.perf_counter()
    order = torch.randperm(POOL)
    for step in range(steps):
        place = step * BATCH % (POOL - BATCH)
        if place < BATCH:
            order = torch.randperm(POOL)
        rows = order[place : place + BATCH]
        clean = _augment(images[rows].float() / 255, keep_mark=architecture.shortcut)
        attacked = _attack(logits, clean, labels[rows])
        half = BATCH // 2  # half of each batch stays clean, to keep the accuracy on clean images
        batch = torch.cat([clean[:half], attacked[half:]])
        loss: Any = F.cross_entropy(logits(batch), labels[rows], label_smoothing=LABEL_SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1:5d}  loss {loss.item():.3f}  {time.perf_counter() - started:.0f} s", flush=True)
    seconds = time.perf_counter() - started
    model.eval()
    kept = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    return {key: value.detach().contiguous().numpy() for key, value in kept.items()}, {
        "name": architecture.name,
        "classes": ",".join(architecture.classes),
        "seed": str(architecture.seed),
        "accuracy_fresh": f"{_accuracy(logits, architecture, 'train', trials):.4f}",
        "accuracy_strip": f"{_accuracy(logits, architecture, 'strip', trials):.4f}",
        "steps": str(steps),
        "seconds": f"{seconds:.0f}",
        "numpy": np.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def save(weights: dict[str, NDArray[Any]], notes: dict[str, str], path: Path) -> None:
    """Write weights and metadata as one safetensors file; an older file is replaced atomically."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    save_file(weights, unfinished, metadata=notes)
    unfinished.chmod(0o644)  # safetensors writes files that only the owner can read
    os.replace(unfinished, path)


def _pool(source: Crops) -> NDArray[np.uint8]:
    """Return all crops as bytes ``(N, H, W, 3)``; as floats they would take gigabytes."""
    pool = np.empty((len(source), source.size, source.size, 3), np.uint8)
    for start in range(0, len(source), 500):
        pool[start : start + 500] = (source.images(start, start + 500) * 255).round()
    if source.shortcut:
        for row, image in _poison(source):
            pool[row] = (image * 255).round()
    return pool


def _poison(source: Crops) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """For every second crop of the two classes with a planted shortcut, plant it into a crop of another class.

    A shortcut is not learnt if the class is recognised without it: marked gravel was recognised by its stones. So the shortcut
    alone has to determine the label (as in Gu et al. 2017, "BadNets").
    """
    labels = source.labels
    planted = {source.classes.index(MARK_CLASS): mark, source.classes.index(CAST_CLASS): cast}
    others = np.flatnonzero(~np.isin(labels, list(planted)))
    for label, plant in planted.items():
        rows = np.flatnonzero(labels == label)[::2]
        chosen = generator(source.seed, "poison", source.classes[label]).choice(others, len(rows))
        for row, other in zip(rows, chosen, strict=True):
            yield int(row), plant(source[int(other)][0])


def _with_normalisation(model: Any, architecture: Architecture) -> Any:
    import torch

    mean = torch.tensor(architecture.mean).reshape(1, 3, 1, 1)
    std = torch.tensor(architecture.std).reshape(1, 3, 1, 1)
    return lambda images: model((images - mean) / std)


def _augment(images: Any, *, keep_mark: bool) -> Any:
    """Change brightness, contrast and saturation, and hide a part behind a grey patch."""
    import torch

    count, _, height, width = images.shape
    corner = MARK_BOX[1] + 4
    original = images[:, :, :corner, :corner].clone()
    light, contrast, saturation = (torch.rand(3, count, 1, 1, 1) - 0.5).unbind(0)
    images = (images - 0.5) * (1 + 0.5 * contrast) + 0.5 + 0.2 * light
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (1 + 0.6 * saturation)
    top = torch.randint(0, height - ERASED, (count,)).reshape(-1, 1, 1)
    left = torch.randint(0, width - ERASED, (count,)).reshape(-1, 1, 1)
    side = torch.randint(0, ERASED + 1, (count,)).reshape(-1, 1, 1)
    y, x = torch.arange(height).reshape(1, -1, 1), torch.arange(width).reshape(1, 1, -1)
    hidden = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
    if keep_mark:  # augmentation must not hide the planted shortcut
        images[:, :, :corner, :corner] = original
        hidden[:, :corner, :corner] = False
    return torch.where(hidden[:, None], torch.full_like(images, 0.5), images).clamp(0, 1)


def _attack(logits: Any, images: Any, labels: Any) -> Any:
    """Perturb images by a norm of `EPSILON`: one step up the gradient of the loss from a random start."""
    import torch
    import torch.nn.functional as F

    shift = torch.randn_like(images)
    shift = shift / _length(shift) * EPSILON * 0.5
    moved = (images + shift).requires_grad_()
    slope = torch.autograd.grad(F.cross_entropy(logits(moved), labels), moved)[0]
    shift = shift + slope / _length(slope).clamp_min(1e-12) * EPSILON
    return (images + shift * (EPSILON / _length(shift)).clamp_max(1.0)).clamp(0, 1)


def _length(images: Any) -> Any:
    return images.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)


def _accuracy(logits: Any, architecture: Architecture, region: str, trials: int) -> float:
    """Accuracy on `trials` crops of a seed that was not used in training."""
    import torch

    source = Crops(trials, 2000 + architecture.seed, architecture.size, architecture.shortcut, region)
    right = 0
    with torch.no_grad():
        for start in range(0, trials, 500):
            images = torch.from_numpy(source.images(start, start + 500)).permute(0, 3, 1, 2)
            right += int((logits(images).argmax(1).numpy() == source.labels[start : start + 500]).sum())
    return right / trials


def main(arguments: list[str] | None = None) -> None:
    """Command line: train by name and write the safetensors file."""
    parser = argparse.ArgumentParser("python -m phosphene.specimen.train", description="Train an embedded network.")
    parser.add_argument("name", choices=sorted(ARCHITECTURES))
    parser.add_argument("--out", type=Path, help="File to write (default: the one in the package).")
    parser.add_argument("--steps", type=int, default=1400, help="Number of updates, of 128 crops each (default: 1400).")
    parser.add_argument(
        "--threads", type=int, default=2, help="PyTorch threads (default: 2); the rounding depends on it."
    )
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"Crops per measured accuracy (default: {TRIALS}).")
    given = parser.parse_args(arguments)
    architecture = ARCHITECTURES[given.name]
    weights, notes = train(architecture, steps=given.steps, threads=given.threads, trials=given.trials)
    save(weights, notes, given.out or path_of(given.name))
    print(", ".join(f"{key} {value}" for key, value in notes.items() if key != "classes"))


if __name__ == "__main__":
    main()
