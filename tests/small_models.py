"""Small models that exist in both frameworks with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def linear_convolution(backend: str, filters: NDArray[np.float32]) -> Any:
    """One convolution without bias or nonlinearity; `filters` is (O, H, W, I). Its layer is called ``conv``."""
    outputs, height, width, inputs = filters.shape
    if backend == "torch":
        import torch
        from torch import nn

        model = nn.Sequential()
        convolution = nn.Conv2d(inputs, outputs, (height, width), bias=False)
        convolution.weight.data = torch.from_numpy(np.ascontiguousarray(filters.transpose(0, 3, 1, 2)))
        model.add_module("conv", convolution)
        return model.eval()
    import jax.numpy as jnp
    from flax import nnx

    class Model(nnx.Module):
        def __init__(self) -> None:
            self.conv = nnx.Conv(inputs, outputs, (height, width), padding="VALID", use_bias=False, rngs=nnx.Rngs(0))
            self.conv.kernel[...] = jnp.asarray(filters.transpose(1, 2, 3, 0))

        def __call__(self, x: Any) -> Any:
            return self.conv(x)

    return Model()


def small_network(backend: str, *, train: bool = False, dead: bool = False) -> Any:
    """Convolution, batch normalisation, ReLU, dropout, linear; layers ``conv``, ``norm``, ``head``."""
    if backend == "torch":
        import torch
        from torch import nn
        from torch.nn import functional as F

        class TorchModel(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3, padding=1)
                self.norm = nn.BatchNorm2d(8)
                self.drop = nn.Dropout(0.5)
                self.head = nn.Linear(8, 5)

            def forward(self, x: Any) -> Any:
                x = F.relu(self.norm(self.conv(x)))
                return self.head(self.drop(x.mean((2, 3))))

        torch.manual_seed(0)
        model = TorchModel()
        if dead:
            model.norm.bias.data.fill_(-100.0)
        return model.train(train)
    import jax.numpy as jnp
    from flax import nnx

    class Model(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
            self.norm = nnx.BatchNorm(8, rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)
            self.head = nnx.Linear(8, 5, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = nnx.relu(self.norm(self.conv(x)))
            return self.head(self.drop(jnp.mean(x, axis=(1, 2))))

    module = Model(nnx.Rngs(0))
    if dead:
        module.norm.bias[...] = jnp.full(8, -100.0)
    module.train() if train else module.eval()
    return module
