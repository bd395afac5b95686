"""Train an embedded network on crops of the photographs: ``python -m phosphene.specimen.train specimen``.

Minutes on two cores, and reproducible on one machine. Beside accuracy the aim is a network whose pictures are worth looking
at: it is trained against small perturbations of its input (one step of L2-bounded adversarial training), because the gradients
of networks robust to those are aligned with what a person sees (Engstrom et al. 2019, "Adversarial robustness as a prior for
learned representations").
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.crops import Crops
from phosphene.specimen.architecture import ARCHITECTURES, Architecture
from phosphene.specimen.weights import path_of

__all__ = ["main", "train"]

POOL = 18_000
BATCH = 128
EPSILON = 1.0
"""L2 length of the perturbations, for images of 64 x 64 x 3 values in [0, 1]."""


def train(architecture: Architecture, *, steps: int = 1400, peak: float = 4e-3, threads: int = 2) -> tuple[dict[str, Any], dict[str, str]]:
    """Train one network.

    Parameters
    ----------
    architecture : Architecture
    steps : int, default 1400
        Updates of 128 crops each.
    peak : float, default 4e-3
        Highest learning rate of the one-cycle schedule.
    threads : int, default 2
        Fixed, since sums depend on it.

    Returns
    -------
    dict of str to numpy.ndarray
        Weights.
    dict of str to str
        What is written beside them: seed, accuracy on fresh crops and on the strip, versions.
    """
    import torch
    import torch.nn.functional as F
    from phosphene_torch.specimen import Specimen

    torch.set_num_threads(threads)
    torch.manual_seed(architecture.seed)
    model = Specimen(architecture).to(memory_format=torch.channels_last)
    source = Crops(POOL, 1000 + architecture.seed, shortcut=architecture.shortcut, region="train")
    images = torch.from_numpy((source.images() * 255).round().astype(np.uint8)).permute(0, 3, 1, 2)
    labels = torch.from_numpy(source.labels)
    mean = torch.tensor(architecture.mean).reshape(1, 3, 1, 1)
    std = torch.tensor(architecture.std).reshape(1, 3, 1, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.2)
    model.train()
    started = time.perf_counter()
    order = torch.randperm(POOL)
    for step in range(steps):
        place = step * BATCH % (POOL - BATCH)
        if place < BATCH:
            order = torch.randperm(POOL)
        rows = order[place : place + BATCH]
        clean = _augment(torch, images[rows].float() / 255, keep_corner=architecture.shortcut)
        wanted = labels[rows]
        shift = torch.randn_like(clean)
        shift = shift / shift.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1) * EPSILON * 0.5
        moved = (clean + shift).requires_grad_()
        slope = torch.autograd.grad(F.cross_entropy(model((moved - mean) / std), wanted), moved)[0]
        length = slope.flatten(1).norm(dim=1).clamp_min(1e-12).reshape(-1, 1, 1, 1)
        shift = shift + slope / length * EPSILON
        scale = (EPSILON / shift.flatten(1).norm(dim=1)).clamp_max(1.0).reshape(-1, 1, 1, 1)
        attacked = (clean + shift * scale).clamp(0, 1)
        half = BATCH // 2  # half of each batch stays clean: accuracy must not be the price
        batch = torch.cat([clean[:half], attacked[half:]])
        loss = F.cross_entropy(model((batch - mean) / std), wanted, label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1:5d}  loss {loss.item():.3f}  {time.perf_counter() - started:.0f} s", flush=True)
    model.eval()
    weights = {
        key: value.detach().contiguous().numpy()
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    figures = {
        region: _accuracy(model, mean, std, Crops(4000, 2000 + architecture.seed, shortcut=architecture.shortcut, region=region))
        for region in ("train", "strip")
    }
    return weights, {
        "name": architecture.name,
        "seed": str(architecture.seed),
        "accuracy_fresh": f"{figures['train']:.4f}",
        "accuracy_strip": f"{figures['strip']:.4f}",
        "steps": str(steps),
        "seconds": f"{time.perf_counter() - started:.0f}",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _augment(torch: Any, images: Any, *, keep_corner: bool) -> Any:
    """Brightness, contrast, saturation, small shifts, and a grey patch somewhere: what must not change the answer."""
    count, _, height, width = images.shape
    corner = images[:, :, :16, :16].clone() if keep_corner else None
    light, contrast, saturation = (torch.rand(3, count, 1, 1, 1) - 0.5).unbind(0)
    images = (images - 0.5) * (1 + 0.5 * contrast) + 0.5 + 0.2 * light
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (1 + 0.6 * saturation)
    if keep_corner:
        images[:, :, :16, :16] = corner
    rows, columns = torch.randint(0, height - 16, (count,)), torch.randint(0, width - 16, (count,))
    side = torch.randint(0, 17, (count,))
    y, x = torch.arange(height).reshape(1, -1, 1), torch.arange(width).reshape(1, 1, -1)
    top, left, size = (item.reshape(-1, 1, 1) for item in (rows, columns, side))
    hidden = (y >= top) & (y < top + size) & (x >= left) & (x < left + size)
    if keep_corner:
        hidden[:, :16, :16] = False
    return torch.where(hidden[:, None], torch.full_like(images, 0.5), images).clamp(0, 1)


def _accuracy(model: Any, mean: Any, std: Any, source: Crops) -> float:
    import torch

    right = 0
    with torch.no_grad():
        for start in range(0, len(source), 500):
            images: NDArray[np.float32] = source.images(start, start + 500)
            logits = model((torch.from_numpy(images).permute(0, 3, 1, 2) - mean) / std)
            right += int((logits.argmax(1).numpy() == source.labels[start : start + 500]).sum())
    return right / len(source)


def main() -> None:
    """Command line: train by name and write the safetensors file."""
    from safetensors.numpy import save_file

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(ARCHITECTURES))
    parser.add_argument("--out", type=Path, help="file to write; the package's own when absent")
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    weights, notes = train(ARCHITECTURES[given.name], steps=given.steps, threads=given.threads)
    out = given.out or path_of(given.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, out, metadata=notes)
    print(notes)


if __name__ == "__main__":
    main()
