"""A convolutional network in PyTorch: any ``nn.Module`` can be wrapped.

    python examples/cnn.py [--out FOLDER] [--steps N]

The first run trains the network, which takes minutes, and stores its weights in ``out/examples``.
"""

from __future__ import annotations

from pathlib import Path

import phosphene as ph
import train_on_photographs
from show import run


def network(weights: Path = Path("out/examples/cnn.safetensors")) -> ph.Network:
    """Return the network, wrapped for phosphene."""
    return train_on_photographs.network("cnn", weights)


if __name__ == "__main__":
    run(network(), "blocks.2", size=96)
