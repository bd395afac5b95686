"""Two models, each written twice: a residual network and a vision transformer, in PyTorch and in flax.nnx, with one set of weights.

The residual network's ports name their layers differently, the transformer's alike. Weights are made by the PyTorch model and
converted here, by hand, with what is easily got wrong said beside it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch import nn
from torch.nn import functional as F

WIDTHS, BLOCKS, EXPANSION = (8, 16, 32), (2, 1, 1), 4

RESNET_SIZE, RESNET_CLASSES = 64, 10
VIT_SIZE, PATCH, DIM, HEADS, DEPTH, VIT_CLASSES = 32, 8, 32, 4, 3, 10
EPSILON = 1e-5  # of both normalisations in PyTorch; in flax, BatchNorm's default too, but LayerNorm's is 1e-6


class TorchBottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Any) -> Any:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class TorchResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = WIDTHS[0]
        for stage, width in enumerate(WIDTHS):
            blocks = []
            for block in range(BLOCKS[stage]):
                blocks.append(TorchBottleneck(inputs, width, 2 if stage and not block else 1))
                inputs = width * EXPANSION
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, RESNET_CLASSES)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


def _conv(inputs: int, outputs: int, side: int, stride: int) -> nnx.Conv:
    # "SAME" pads an even input of stride 2 by 0 and 1, PyTorch by 1 and 1.
    around = side // 2
    return nnx.Conv(
        inputs,
        outputs,
        (side, side),
        stride,
        padding=((around, around), (around, around)),
        use_bias=False,
        rngs=nnx.Rngs(0),
    )


def _norm(channels: int) -> nnx.BatchNorm:
    # momentum is what is kept here, and what is replaced in PyTorch
    return nnx.BatchNorm(channels, use_running_average=True, momentum=0.9, epsilon=EPSILON, rngs=nnx.Rngs(0))


class JaxBottleneck(nnx.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        outputs = width * EXPANSION
        self.reduce, self.reduce_norm = _conv(inputs, width, 1, 1), _norm(width)
        self.conv, self.conv_norm = _conv(width, width, 3, stride), _norm(width)
        self.expand, self.expand_norm = _conv(width, outputs, 1, 1), _norm(outputs)
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut, self.shortcut_norm = _conv(inputs, outputs, 1, stride), _norm(outputs)

    def __call__(self, x: Any) -> Any:
        # The short cut first: the two forward orders differ too.
        kept = self.shortcut_norm(self.shortcut(x)) if self.projects else x
        y = nnx.relu(self.reduce_norm(self.reduce(x)))
        y = nnx.relu(self.conv_norm(self.conv(y)))
        return nnx.relu(self.expand_norm(self.expand(y)) + kept)


class JaxStage(nnx.Module):
    def __init__(self, inputs: int, width: int, stride: int, count: int) -> None:
        blocks = [JaxBottleneck(inputs, width, stride)]
        blocks += [JaxBottleneck(width * EXPANSION, width, 1) for _ in range(count - 1)]
        self.blocks = nnx.List(blocks)

    def __call__(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return x


class JaxResNet(nnx.Module):
    def __init__(self) -> None:
        self.stem, self.stem_norm = _conv(3, WIDTHS[0], 7, 2), _norm(WIDTHS[0])
        inputs, stages = WIDTHS[0], []
        for stage, width in enumerate(WIDTHS):
            stages.append(JaxStage(inputs, width, 2 if stage else 1, BLOCKS[stage]))
            inputs = width * EXPANSION
        self.stages = nnx.List(stages)
        self.head = nnx.Linear(inputs, RESNET_CLASSES, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        x = nnx.relu(self.stem_norm(self.stem(x)))
        x = nnx.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for stage in self.stages:
            x = stage(x)
        return self.head(jnp.mean(x, axis=(1, 2)))


class TorchBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.attn = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        self.up, self.down = nn.Linear(DIM, 2 * DIM), nn.Linear(2 * DIM, DIM)

    def forward(self, x: Any) -> Any:
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class TorchViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, DIM, PATCH, PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, DIM))
        self.position = nn.Parameter(torch.zeros(1, 1 + (VIT_SIZE // PATCH) ** 2, DIM))
        self.blocks = nn.ModuleList([TorchBlock() for _ in range(DEPTH)])
        self.norm = nn.LayerNorm(DIM)
        self.pre_logits = nn.Linear(DIM, DIM)
        self.head = nn.Linear(DIM, VIT_CLASSES)

    def forward(self, x: Any) -> Any:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(torch.tanh(self.pre_logits(self.norm(x)[:, 0])))


class JaxBlock(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm1 = nnx.LayerNorm(DIM, epsilon=EPSILON, rngs=rngs)
        self.norm2 = nnx.LayerNorm(DIM, epsilon=EPSILON, rngs=rngs)
        self.attn = nnx.MultiHeadAttention(HEADS, DIM, decode=False, rngs=rngs)
        self.up, self.down = nnx.Linear(DIM, 2 * DIM, rngs=rngs), nnx.Linear(2 * DIM, DIM, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = x + self.attn(self.norm1(x))
        # flax's default is the approximation by tanh
        return x + self.down(nnx.gelu(self.up(self.norm2(x)), approximate=False))


class JaxViT(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.patch = nnx.Conv(3, DIM, (PATCH, PATCH), PATCH, padding="VALID", rngs=rngs)
        self.token = nnx.Param(jnp.zeros((1, 1, DIM)))
        self.position = nnx.Param(jnp.zeros((1, 1 + (VIT_SIZE // PATCH) ** 2, DIM)))
        self.blocks = nnx.List([JaxBlock(rngs) for _ in range(DEPTH)])
        self.norm = nnx.LayerNorm(DIM, epsilon=EPSILON, rngs=rngs)
        self.pre_logits = nnx.Linear(DIM, DIM, rngs=rngs)
        self.head = nnx.Linear(DIM, VIT_CLASSES, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = self.patch(x)
        x = x.reshape(x.shape[0], -1, DIM)
        token = jnp.broadcast_to(self.token[...], (x.shape[0], 1, DIM))
        x = jnp.concatenate([token, x], axis=1) + self.position[...]
        for block in self.blocks:
            x = block(x)
        return self.head(jnp.tanh(self.pre_logits(self.norm(x)[:, 0])))


def resnets() -> tuple[TorchResNet, JaxResNet]:
    """The residual network in both frameworks."""
    torch.manual_seed(0)
    source = TorchResNet().eval()
    for module in source.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    port = JaxResNet()
    _convolution(source.conv1, port.stem), _normalisation(source.bn1, port.stem_norm)
    for stage in range(len(WIDTHS)):
        for block in range(BLOCKS[stage]):
            ours, theirs = getattr(source, f"layer{stage + 1}")[block], port.stages[stage].blocks[block]
            for index, name in enumerate(("reduce", "conv", "expand"), 1):
                _convolution(getattr(ours, f"conv{index}"), getattr(theirs, name))
                _normalisation(getattr(ours, f"bn{index}"), getattr(theirs, f"{name}_norm"))
            if ours.downsample is not None:
                _convolution(ours.downsample[0], theirs.shortcut)
                _normalisation(ours.downsample[1], theirs.shortcut_norm)
    _linear(source.fc, port.head)
    return source, port


def vits() -> tuple[TorchViT, JaxViT]:
    """The vision transformer in both frameworks."""
    torch.manual_seed(1)
    source = TorchViT().eval()
    for name, values in source.named_parameters():
        if name.endswith(("token", "position", "bias")):
            nn.init.normal_(values, std=0.2)
        elif "norm" in name:
            nn.init.uniform_(values, 0.5, 1.5)
    port = JaxViT()
    _convolution(source.patch, port.patch)
    _set(port.token, source.token), _set(port.position, source.position)
    for ours, theirs in zip(source.blocks, port.blocks, strict=True):
        for name in ("norm1", "norm2"):
            _normalisation(getattr(ours, name), getattr(theirs, name))
        _attention(ours.attn, theirs.attn)
        _linear(ours.up, theirs.up), _linear(ours.down, theirs.down)
    _normalisation(source.norm, port.norm)
    _linear(source.pre_logits, port.pre_logits), _linear(source.head, port.head)
    return source, port


def _set(variable: Any, values: Any) -> None:
    array = values.detach().numpy() if isinstance(values, torch.Tensor) else values
    assert variable[...].shape == array.shape
    variable[...] = jax.device_put(np.array(array))


def _convolution(ours: nn.Conv2d, theirs: nnx.Conv) -> None:
    _set(theirs.kernel, ours.weight.detach().permute(2, 3, 1, 0))  # out, in, height, width to height, width, in, out
    if ours.bias is not None:
        _set(theirs.bias, ours.bias)


def _linear(ours: nn.Linear, theirs: nnx.Linear) -> None:
    _set(theirs.kernel, ours.weight.detach().T)
    _set(theirs.bias, ours.bias)


def _normalisation(ours: Any, theirs: Any) -> None:
    assert ours.eps == theirs.epsilon
    _set(theirs.scale, ours.weight), _set(theirs.bias, ours.bias)
    if isinstance(ours, nn.BatchNorm2d):
        _set(theirs.mean, ours.running_mean), _set(theirs.var, ours.running_var)


def _attention(ours: nn.MultiheadAttention, theirs: nnx.MultiHeadAttention) -> None:
    # Queries, keys and values lie one below the other in one matrix (out, in); flax has (in, heads, width of a head) each.
    each = zip(ours.in_proj_weight.detach().chunk(3), ours.in_proj_bias.detach().chunk(3), strict=True)
    for part, (weight, bias) in zip((theirs.query, theirs.key, theirs.value), each, strict=True):
        _set(part.kernel, weight.T.reshape(DIM, HEADS, DIM // HEADS))
        _set(part.bias, bias.reshape(HEADS, DIM // HEADS))
    _set(theirs.out.kernel, ours.out_proj.weight.detach().T.reshape(HEADS, DIM // HEADS, DIM))
    _set(theirs.out.bias, ours.out_proj.bias)
