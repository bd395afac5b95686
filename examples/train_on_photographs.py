"""Train a small network on the photographs: a CNN or a Vision Transformer, in minutes on two cores.

    python examples/train_on_photographs.py vit --out vit.safetensors

It learns which of the eighteen photographs a crop is from. Like the specimen, it is trained with half of the crops perturbed
adversarially by one L2-bounded step (Goodfellow et al. 2015, "Explaining and harnessing adversarial examples") from a random
start (Wong et al. 2020, "Fast is better than free"), because the visualizations of robust networks are closer to human
perception (Engstrom et al. 2019, "Adversarial robustness as a prior for learned representations").
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

import phosphene as ph
from architectures import ConvNet, VisionTransformer
from phosphene.data import Crops
from phosphene.specimen.train import save as save_weights

__all__ = [
    "CLASSES",
    "MEAN",
    "RECIPES",
    "SIZE",
    "STD",
    "Recipe",
    "accuracy",
    "build",
    "load",
    "network",
    "save",
    "train",
]

SIZE = 64
"""Pixels per side of a crop."""

CLASSES = Crops(1).classes
"""Class names, one per photograph, in the order of the logits."""

MEAN, STD = (0.45, 0.43, 0.41), (0.26, 0.26, 0.26)
"""Normalisation: the networks see ``(image - MEAN) / STD``."""


HELD_OUT = 1_000_000
"""Seeds of crops from here on are for evaluation, and are not used in training."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    steps : int
        Number of updates.
    peak : float
        Highest learning rate of the one-cycle schedule (Smith and Topin 2019) over AdamW.
    epsilon : float
        L2 norm of the adversarial step, for images of 64 x 64 x 3 values in [0, 1].
    erased : int, default 0
        Largest side in pixels of a grey patch that hides a part of each crop.
    batch : int, default 128
        Number of crops per update.
    pool : int, default 12000
        Number of training crops.
    """

    steps: int
    peak: float
    epsilon: float
    erased: int = 0
    batch: int = 128
    pool: int = 12_000


RECIPES = {
    "cnn": Recipe(steps=300, peak=4e-3, epsilon=1.0),
    "vit": Recipe(steps=1000, peak=2e-3, epsilon=2.5, erased=20),
}
"""Recipes by kind. A transformer lacks the inductive bias of convolutions, so it is trained for longer and with a larger
adversarial step: with half the step its class pictures were recognised less often."""


def build(kind: str) -> nn.Module:
    """Return an untrained network of a kind, "cnn" or "vit"."""
    return ConvNet(len(CLASSES)) if kind == "cnn" else VisionTransformer(len(CLASSES), size=SIZE)


def train(kind: str, steps: int | None = None, seed: int = 0, *, recipe: Recipe | None = None) -> nn.Module:
    """Train a network, and print its progress.

    Parameters
    ----------
    kind : "cnn" or "vit"
    steps : int, optional
        Number of updates (default: that of the recipe).
    seed : int, default 0
        Random seed.
    recipe : Recipe, optional
        How to train (default: the recipe of the kind).

    Returns
    -------
    nn.Module
        The network in evaluation mode.
    """
    recipe = recipe or RECIPES[kind]
    recipe = replace(recipe, steps=steps or recipe.steps)
    torch.manual_seed(seed)
    model = build(kind)
    images, labels = crops(recipe.pool, seed, "train")
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.peak, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.peak, total_steps=recipe.steps, pct_start=0.2)
    model.train()
    started = time.perf_counter()
    for step in range(1, recipe.steps + 1):
        rows = torch.randint(recipe.pool, (recipe.batch,))
        batch, wanted = augmented(images[rows].float() / 255, recipe.erased), labels[rows]
        half = recipe.batch // 2  # half of each batch stays clean, to keep the accuracy on clean images
        moved = attacked(model, batch[half:], wanted[half:], recipe.epsilon)
        logits = model(normalised(torch.cat([batch[:half], moved])))
        loss = F.cross_entropy(logits, wanted, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == recipe.steps:
            right = (logits.argmax(1) == wanted).float()
            print(
                f"step {step:4d} of {recipe.steps}  loss {loss.item():.3f}  accuracy on clean crops {right[:half].mean():.0%}, "
                f"on perturbed crops {right[half:].mean():.0%}  {time.perf_counter() - started:.0f} s",
                flush=True,
            )
    return model.eval()


def accuracy(model: nn.Module, *, region: str = "train", trials: int = 2000, seed: int = 1) -> float:
    """Return the accuracy of a network on crops that are not used in training.

    Parameters
    ----------
    model : nn.Module
    region : "train" or "strip", default "train"
        Crops of the regions used in training, or of the strip at the right of each photograph, which is not.
    trials : int, default 2000
        Number of crops.
    seed : int, default 1
        Random seed of the crops.
    """
    images, labels = crops(trials, HELD_OUT + seed, region)
    with torch.inference_mode():
        logits = torch.cat([model(normalised(part.float() / 255)) for part in images.split(500)])
    return float((logits.argmax(1) == labels).float().mean())


def save(model: nn.Module, path: Path, **notes: object) -> None:
    """Write weights and metadata as one safetensors file; an older file is replaced atomically."""
    weights = {key: value.contiguous().numpy() for key, value in model.state_dict().items()}
    save_weights(weights, {key: str(value) for key, value in notes.items()}, path)


def load(path: Path) -> nn.Module:
    """Return the network of a file written by `main`, in evaluation mode."""
    with safe_open(path, framework="pt") as opened:
        model = build(opened.metadata()["kind"])
        model.load_state_dict({key: opened.get_tensor(key) for key in opened.keys()})  # noqa: SIM118
    return model.eval()


def network(kind: str, path: Path) -> ph.Network:
    """Return a trained network, wrapped for phosphene; it is trained and written to `path` if that file is missing."""
    if not path.exists():
        print(f"{path} does not exist yet: training, which takes some minutes")
        save(train(kind), path, kind=kind)
    return ph.wrap(load(path), size=SIZE, mean=MEAN, std=STD, classes=CLASSES)


def crops(count: int, seed: int, region: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return crops as bytes ``(count, 3, SIZE, SIZE)``, a quarter of the size of floats, and their labels."""
    source = Crops(count, seed, SIZE, region=region)
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for row, (image, _) in enumerate(source):
        images[row] = (image * 255).round()
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(source.labels)


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Normalise images ``(N, 3, H, W)`` in [0, 1]."""
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std


def augmented(images: torch.Tensor, erased: int) -> torch.Tensor:
    """Change brightness, contrast and saturation, and hide a part behind a grey patch of 0 to `erased` pixels per side.

    The patch is random erasing (Zhong et al. 2020, "Random erasing data augmentation").
    """
    count, size = len(images), images.shape[-1]
    light, contrast, saturation = (torch.rand(3, count, 1, 1, 1) - 0.5).unbind(0)
    images = (images - 0.5) * (1 + 0.5 * contrast) + 0.5 + 0.2 * light
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (1 + 0.6 * saturation)
    start = torch.randint(size, (2, count, 1))
    line = torch.arange(size)
    rows, columns = (line >= start) & (line < start + torch.randint(erased + 1, (2, count, 1)))
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(hidden, 0.5, images).clamp(0, 1)


def attacked(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Perturb images by a norm of `epsilon`: one step up the gradient of the loss from a random start."""
    shift = scaled(torch.randn_like(images), epsilon / 2)
    moved = (images + shift).requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(model(normalised(moved)), labels), moved)
    return (images + scaled(shift + scaled(slope, epsilon), epsilon)).clamp(0, 1)


def scaled(images: torch.Tensor, length: float) -> torch.Tensor:
    """Scale images to an L2 norm; an image of norm 0 is unchanged."""
    norms: torch.Tensor = images.flatten(1).norm(dim=1).clamp_min(1e-12)
    return images * (length / norms).reshape(-1, 1, 1, 1)


def main(arguments: list[str] | None = None) -> None:
    """Command line: train, evaluate and write."""
    parser = argparse.ArgumentParser(description="Train a small network on crops of the eighteen photographs.")
    parser.add_argument("kind", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, help="File to write (default: KIND.safetensors).")
    parser.add_argument("--steps", type=int, help="Number of updates (default: that of the recipe).")
    parser.add_argument("--seed", type=int, default=0, help="Random seed (default: 0).")
    given = parser.parse_args(arguments)
    out = given.out or Path(f"{given.kind}.safetensors")
    model = train(given.kind, given.steps, given.seed)
    fresh, strip = accuracy(model), accuracy(model, region="strip")
    save(model, out, kind=given.kind, seed=given.seed, classes=",".join(CLASSES), accuracy=fresh, accuracy_strip=strip)
    print(f"accuracy {fresh:.1%} on fresh crops, {strip:.1%} on crops of the unseen strip; written to {out}")


if __name__ == "__main__":
    main()
