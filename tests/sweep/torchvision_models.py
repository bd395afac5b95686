"""torchvision: the smallest member of every family, and its models of segmentation, detection, video and optical flow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from sweep.architectures import Architecture
from sweep.preparation import prepared

CLASSIFIERS = {
    "alexnet": 128,
    "convnext_tiny": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "efficientnet_v2_s": 64,
    "googlenet": 64,
    "inception_v3": 96,
    "maxvit_t": 224,
    "mnasnet0_5": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "regnet_x_400mf": 64,
    "regnet_y_400mf": 64,
    "resnet18": 64,
    "resnet50": 64,
    "resnext50_32x4d": 64,
    "wide_resnet50_2": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "swin_t": 64,
    "swin_v2_t": 64,
    "vgg11": 64,
    "vgg11_bn": 64,
    "vit_b_32": 96,
}
SEGMENTERS = {"deeplabv3_mobilenet_v3_large": 64, "fcn_resnet50": 64, "lraspp_mobilenet_v3_large": 64}
DETECTORS = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": 96,
    "fcos_resnet50_fpn": 96,
    "keypointrcnn_resnet50_fpn": 96,
    "maskrcnn_resnet50_fpn": 96,
    "retinanet_resnet50_fpn": 96,
    "ssd300_vgg16": 96,
    "ssdlite320_mobilenet_v3_large": 96,
}
# S3D and MViT are left out: they take no film smaller than 224 pixels, which is minutes of work.
VIDEOS = {"r3d_18": 64, "mc3_18": 64, "r2plus1d_18": 64, "swin3d_t": 64}
QUICK = set(
    "alexnet convnext_tiny efficientnet_b0 googlenet mobilenet_v2 resnet18 swin_t vgg11 vit_b_32 deeplabv3_mobilenet_v3_large "
    "fasterrcnn_mobilenet_v3_large_320_fpn r3d_18".split()
)

ARGUMENTS: dict[str, dict[str, Any]] = {
    "googlenet": {"init_weights": False},
    "inception_v3": {"init_weights": False},
    "vit_b_32": {"image_size": 96},
}


def architectures() -> Iterator[Architecture]:
    """Yield all, classifiers first."""
    for name, size in CLASSIFIERS.items():
        yield _one("classification", name, size, ARGUMENTS.get(name, {}))
    for name, size in SEGMENTERS.items():
        yield _one("segmentation", name, size, {"weights_backbone": None}, output="out")
    for name, size in DETECTORS.items():
        # Without a change of size, so that a small image stays small.
        small: dict[str, Any] = {} if "ssd" in name else {"min_size": size, "max_size": size}
        if "rcnn" in name:
            small |= {"box_detections_per_img": 5, "rpn_post_nms_top_n_test": 50}
        yield _one("detection", name, size, {"weights_backbone": None, **small})
    for name, size in VIDEOS.items():
        yield _one("video", name, size, ARGUMENTS.get(name, {}), inputs=_still)
    yield _one("optical flow", "raft_small", 128, {}, inputs=_pair)


def _one(family: str, name: str, size: int, arguments: dict[str, Any], **wrapping: Any) -> Architecture:
    make: Callable[[], Any] = functools.partial(_made, name, size, family, arguments)
    return Architecture("torchvision", family, name, make, size, wrapping, name in QUICK)


def _made(name: str, size: int, family: str, arguments: dict[str, Any]) -> Any:
    from torchvision.models import get_model

    given = {"video": _still, "optical flow": _pair}.get(family)
    return prepared(lambda: get_model(name, weights=None, **arguments), size, given)


def _still(images: Any) -> Any:
    """A film in which each image stands still for sixteen frames."""
    return images[:, :, None].expand(-1, -1, 16, -1, -1).contiguous()


def _pair(images: Any) -> Any:
    """Two frames: the image, and the image moved."""
    return images, images.roll(2, 3)
