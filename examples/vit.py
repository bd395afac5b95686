"""A Vision Transformer in PyTorch: its tokens are identified automatically, and its attention maps are layers.

    python examples/vit.py [--out FOLDER] [--steps N]

The first run trains the network, which takes minutes, and stores its weights in ``out/examples``.
"""

from __future__ import annotations

from pathlib import Path

import phosphene as ph
import train_on_photographs
from phosphene.data import Crops
from show import run


def network(weights: Path = Path("out/examples/vit.safetensors")) -> ph.Network:
    """Return the network, wrapped for phosphene."""
    return train_on_photographs.network("vit", weights)


def attended(network: ph.Network, layer: str = "blocks.3.attn@attention") -> None:
    """Print the patch of a crop to which the class token attends most, for each head."""
    image = Crops(1, seed=4).images()
    maps = ph.activations(network, image, layer)[layer][0]  # (queries, keys, heads)
    tokens = network.layers[layer].tokens
    if tokens is None:
        raise ValueError(f"{layer} has no known tokens")
    patches = maps[0, len(tokens.prefix) :]  # the class token is the first
    for head, weights in enumerate(patches.T):
        row, column = divmod(int(weights.argmax()), tokens.grid[1])
        print(f"head {head} of {layer}: the class token attends most to the patch in row {row}, column {column}")


if __name__ == "__main__":
    transformer = network()
    attended(transformer)
    run(transformer, "blocks.2")
