"""ResNet-50 with random weights in both frameworks (He et al. 2016), so that the benchmark needs no other package."""

from __future__ import annotations

from typing import Any

__all__ = ["LAYERS", "resnet50"]

DEPTHS, WIDTHS = (3, 4, 6, 3), (64, 128, 256, 512)
LAYERS = ("layer1", "layer2", "layer3", "layer4")


def resnet50(backend: str) -> Any:
    """A ``torch.nn.Module`` or a ``flax.nnx.Module``, in evaluation mode."""
    return _torch() if backend == "torch" else _nnx()


def _torch() -> Any:
    import torch
    from torch import nn

    class Bottleneck(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            outputs = 4 * width
            self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU(inplace=True)
            self.downsample = None
            if stride != 1 or inputs != outputs:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x: Any) -> Any:
            shortcut = x if self.downsample is None else self.downsample(x)
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.relu(self.bn2(self.conv2(y)))
            return self.relu(self.bn3(self.conv3(y)) + shortcut)

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
            self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
            inputs = 64
            for index, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True), start=1):
                blocks = []
                for block in range(depth):
                    blocks.append(Bottleneck(inputs, width, 2 if block == 0 and index > 1 else 1))
                    inputs = 4 * width
                self.add_module(f"layer{index}", nn.Sequential(*blocks))
            self.fc = nn.Linear(inputs, 1000)

        def forward(self, x: Any) -> Any:
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            for name in LAYERS:
                x = getattr(self, name)(x)
            return self.fc(x.mean((2, 3)))

    torch.manual_seed(0)
    return ResNet().eval()


def _nnx() -> Any:
    import jax.numpy as jnp
    from flax import nnx

    def conv(inputs: int, outputs: int, side: int, stride: int, rngs: Any) -> Any:
        pad = (side // 2, side // 2)
        return nnx.Conv(inputs, outputs, (side, side), strides=stride, padding=(pad, pad), use_bias=False, rngs=rngs)

    def norm(width: int, rngs: Any) -> Any:
        return nnx.BatchNorm(width, use_running_average=True, rngs=rngs)

    class Bottleneck(nnx.Module):
        def __init__(self, inputs: int, width: int, stride: int, rngs: Any) -> None:
            outputs = 4 * width
            self.conv1, self.bn1 = conv(inputs, width, 1, 1, rngs), norm(width, rngs)
            self.conv2, self.bn2 = conv(width, width, 3, stride, rngs), norm(width, rngs)
            self.conv3, self.bn3 = conv(width, outputs, 1, 1, rngs), norm(outputs, rngs)
            self.short = stride != 1 or inputs != outputs
            if self.short:
                self.downsample, self.downsample_bn = conv(inputs, outputs, 1, stride, rngs), norm(outputs, rngs)

        def __call__(self, x: Any) -> Any:
            shortcut = self.downsample_bn(self.downsample(x)) if self.short else x
            y = nnx.relu(self.bn1(self.conv1(x)))
            y = nnx.relu(self.bn2(self.conv2(y)))
            return nnx.relu(self.bn3(self.conv3(y)) + shortcut)

    class Stage(nnx.Module):
        def __init__(self, blocks: list[Any]) -> None:
            self.blocks = nnx.List(blocks)

        def __call__(self, x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return x

    class ResNet(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.conv1, self.bn1 = conv(3, 64, 7, 2, rngs), norm(64, rngs)
            inputs = 64
            for index, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True), start=1):
                blocks = []
                for block in range(depth):
                    blocks.append(Bottleneck(inputs, width, 2 if block == 0 and index > 1 else 1, rngs))
                    inputs = 4 * width
                setattr(self, f"layer{index}", Stage(blocks))
            self.fc = nnx.Linear(inputs, 1000, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = nnx.relu(self.bn1(self.conv1(x)))
            x = nnx.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
            for name in LAYERS:
                x = getattr(self, name)(x)
            return self.fc(jnp.mean(x, axis=(1, 2)))

    return ResNet(nnx.Rngs(0))
