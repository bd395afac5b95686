"""transformers: image models of two layers, from configurations that are as small as they go."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from sweep.architectures import Architecture
from sweep.preparation import prepared

SIDE = 64
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
PATCHES = {**TINY, "image_size": SIDE, "patch_size": 16}
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [16, 24, 32, 40]}
WINDOWS = {
    "embed_dim": 16,
    "depths": [1, 1, 1],
    "num_heads": [2, 2, 4],
    "window_size": 4,
    "image_size": SIDE,
    "patch_size": 4,
}
RESNET = {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 1, 1]}
PYRAMID = {"depths": [1, 1, 1, 1], "hidden_sizes": [16, 32, 32, 64], "num_attention_heads": [1, 2, 2, 4]}
DINO = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": SIDE, "patch_size": 16}
FOUR = {"out_features": ["stage1", "stage2", "stage3", "stage4"], "reshape_hidden_states": False}
DETECTOR = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_queries": 10,
    "use_timm_backbone": False,
    "use_pretrained_backbone": False,
    "backbone": None,
}

# Class of the model, its type, what its configuration is given; "backbone_config" and the like are (type, given) themselves.
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ViT": ("ViTForImageClassification", "vit", PATCHES),
    "ViT, masked": ("ViTForMaskedImageModeling", "vit", PATCHES),
    "DeiT": ("DeiTForImageClassification", "deit", PATCHES),
    "DeiT, two heads": ("DeiTForImageClassificationWithTeacher", "deit", PATCHES),
    "ViT-MAE": ("ViTMAEModel", "vit_mae", {**PATCHES, "mask_ratio": 0.0}),
    "ViT-MAE, masked": (
        "ViTMAEForPreTraining",
        "vit_mae",
        {
            **PATCHES,
            "decoder_hidden_size": 32,
            "decoder_num_hidden_layers": 1,
            "decoder_num_attention_heads": 4,
            "decoder_intermediate_size": 64,
        },
    ),
    "ViT-MSN": ("ViTMSNForImageClassification", "vit_msn", PATCHES),
    "BEiT": ("BeitForImageClassification", "beit", PATCHES),
    "Data2Vec": ("Data2VecVisionForImageClassification", "data2vec-vision", PATCHES),
    "DINOv2": ("Dinov2ForImageClassification", "dinov2", DINO),
    "DINOv2 with registers": ("Dinov2WithRegistersForImageClassification", "dinov2_with_registers", DINO),
    "DINOv2, backbone": ("Dinov2Backbone", "dinov2", {**DINO, **FOUR}),
    "DINOv3": ("DINOv3ViTModel", "dinov3_vit", PATCHES),
    "DINOv3 ConvNeXt": ("DINOv3ConvNextModel", "dinov3_convnext", {**STAGES}),
    "I-JEPA": ("IJepaForImageClassification", "ijepa", PATCHES),
    "Hiera": (
        "HieraForImageClassification",
        "hiera",
        {
            "embed_dim": 16,
            "depths": [1, 1, 1],
            "num_heads": [1, 2, 4],
            "image_size": [SIDE, SIDE],
            "query_stride": [2, 2],
            "num_query_pool": 2,
        },
    ),
    "Swin": ("SwinForImageClassification", "swin", WINDOWS),
    "Swin V2": ("Swinv2ForImageClassification", "swinv2", WINDOWS),
    "Swin, backbone": ("SwinBackbone", "swin", {**WINDOWS, "out_features": ["stage1", "stage3"]}),
    "Swin, masked": ("SwinForMaskedImageModeling", "swin", {**WINDOWS, "encoder_stride": 16}),
    "Donut": ("DonutSwinForImageClassification", "donut-swin", WINDOWS),
    "Swin2SR": (
        "Swin2SRForImageSuperResolution",
        "swin2sr",
        {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "image_size": SIDE},
    ),
    "ResNet": ("ResNetForImageClassification", "resnet", RESNET),
    "ResNet, backbone": ("ResNetBackbone", "resnet", {**RESNET, "out_features": ["stage2", "stage4"]}),
    "RegNet": ("RegNetForImageClassification", "regnet", {**RESNET, "groups_width": 8}),
    "BiT": ("BitForImageClassification", "bit", {**RESNET, "num_groups": 4}),
    "ConvNeXt": ("ConvNextForImageClassification", "convnext", STAGES),
    "ConvNeXt V2": ("ConvNextV2ForImageClassification", "convnextv2", STAGES),
    "ConvNeXt, backbone": ("ConvNextBackbone", "convnext", {**STAGES, "out_features": ["stage2", "stage4"]}),
    "EfficientNet": (
        "EfficientNetForImageClassification",
        "efficientnet",
        {"width_coefficient": 0.5, "depth_coefficient": 0.5, "image_size": SIDE, "hidden_dim": 640},
    ),
    "MobileNet V1": (
        "MobileNetV1ForImageClassification",
        "mobilenet_v1",
        {"depth_multiplier": 0.25, "image_size": SIDE},
    ),
    "MobileNet V2": (
        "MobileNetV2ForImageClassification",
        "mobilenet_v2",
        {"depth_multiplier": 0.35, "image_size": SIDE},
    ),
    "MobileNet V2, segmentation": (
        "MobileNetV2ForSemanticSegmentation",
        "mobilenet_v2",
        {"depth_multiplier": 0.35, "image_size": SIDE},
    ),
    "MobileViT": (
        "MobileViTForImageClassification",
        "mobilevit",
        {"hidden_sizes": [32, 40, 48], "neck_hidden_sizes": [8, 16, 24, 32, 40, 48, 64], "image_size": SIDE},
    ),
    "MobileViT V2": ("MobileViTV2ForImageClassification", "mobilevitv2", {"width_multiplier": 0.5, "image_size": SIDE}),
    "LeViT": (
        "LevitForImageClassification",
        "levit",
        {
            "hidden_sizes": [16, 32, 48],
            "num_attention_heads": [2, 2, 2],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
            "image_size": SIDE,
        },
    ),
    "CvT": (
        "CvtForImageClassification",
        "cvt",
        {"embed_dim": [16, 24, 32], "num_heads": [1, 2, 2], "depth": [1, 2, 3]},
    ),
    "PoolFormer": (
        "PoolFormerForImageClassification",
        "poolformer",
        {"depths": [1] * 4, "hidden_sizes": [16, 24, 32, 40]},
    ),
    "PVT": (
        "PvtForImageClassification",
        "pvt",
        {**PYRAMID, "image_size": SIDE},
    ),
    "PVT V2": ("PvtV2ForImageClassification", "pvt_v2", {**PYRAMID, "image_size": SIDE}),
    "SegFormer": ("SegformerForImageClassification", "segformer", PYRAMID),
    "SegFormer, segmentation": (
        "SegformerForSemanticSegmentation",
        "segformer",
        {**PYRAMID, "decoder_hidden_size": 32},
    ),
    "GLPN": ("GLPNForDepthEstimation", "glpn", {**PYRAMID, "decoder_hidden_size": 32}),
    "FocalNet": (
        "FocalNetForImageClassification",
        "focalnet",
        {
            "embed_dim": 16,
            "depths": [1, 1, 1],
            "hidden_sizes": [16, 32, 64],
            "focal_levels": [2, 2, 2],
            "focal_windows": [3, 3, 3],
            "image_size": SIDE,
        },
    ),
    "SwiftFormer": (
        "SwiftFormerForImageClassification",
        "swiftformer",
        {"depths": [1, 1, 1, 1], "embed_dims": [16, 24, 32, 40]},
    ),
    "HGNet V2": (
        "HGNetV2ForImageClassification",
        "hgnet_v2",
        {
            "stem_channels": [3, 8, 16],
            "stage_in_channels": [16, 24, 32, 40],
            "stage_mid_channels": [8, 8, 8, 8],
            "stage_out_channels": [24, 32, 40, 48],
            "stage_num_blocks": [1, 1, 1, 1],
            "hidden_sizes": [24, 32, 40, 48],
            "depths": [1, 1, 1, 1],
        },
    ),
    "Perceiver": (
        "PerceiverForImageClassificationConvProcessing",
        "perceiver",
        {
            "d_latents": 32,
            "num_latents": 8,
            "num_blocks": 1,
            "num_self_attends_per_block": 2,
            "num_cross_attention_heads": 1,
        },
    ),
    "DPT": (
        "DPTForDepthEstimation",
        "dpt",
        {
            **PATCHES,
            "num_hidden_layers": 4,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [8, 16, 24, 32],
            "fusion_hidden_size": 16,
            "is_hybrid": False,
        },
    ),
    "Depth Anything": (
        "DepthAnythingForDepthEstimation",
        "depth_anything",
        {
            "backbone_config": ("dinov2", {**DINO, **FOUR}),
            "reassemble_hidden_size": 32,
            "neck_hidden_sizes": [8, 16, 24, 32],
            "fusion_hidden_size": 16,
            "patch_size": 16,
        },
    ),
    "UPerNet": (
        "UperNetForSemanticSegmentation",
        "upernet",
        {
            "backbone_config": ("convnext", {**STAGES, "out_features": ["stage1", "stage2", "stage3", "stage4"]}),
            "hidden_size": 16,
            "auxiliary_channels": 16,
            "auxiliary_in_channels": 32,
            "pool_scales": [1, 2],
        },
    ),
    "YOLOS": ("YolosForObjectDetection", "yolos", {**PATCHES, "image_size": [SIDE, SIDE], "num_detection_tokens": 10}),
    "DETR": (
        "DetrForObjectDetection",
        "detr",
        {**DETECTOR, "backbone_config": ("resnet", {**RESNET, "out_features": ["stage4"]})},
    ),
    "Conditional DETR": (
        "ConditionalDetrForObjectDetection",
        "conditional_detr",
        {**DETECTOR, "backbone_config": ("resnet", {**RESNET, "out_features": ["stage4"]})},
    ),
    "Deformable DETR": (
        "DeformableDetrForObjectDetection",
        "deformable_detr",
        {**DETECTOR, "backbone_config": ("resnet", {**RESNET, "out_features": ["stage2", "stage3", "stage4"]})},
    ),
    "Table Transformer": (
        "TableTransformerForObjectDetection",
        "table-transformer",
        {**DETECTOR, "backbone_config": ("resnet", {**RESNET, "out_features": ["stage4"]})},
    ),
    "RT-DETR": (
        "RTDetrForObjectDetection",
        "rt_detr",
        {
            "backbone_config": (
                "rt_detr_resnet",
                {**RESNET, "layer_type": "basic", "out_features": ["stage2", "stage3", "stage4"]},
            ),
            "d_model": 32,
            "encoder_hidden_dim": 32,
            "encoder_ffn_dim": 64,
            "encoder_in_channels": [24, 32, 40],
            "encoder_attention_heads": 4,
            "decoder_in_channels": [32, 32, 32],
            "decoder_layers": 2,
            "decoder_ffn_dim": 64,
            "decoder_attention_heads": 4,
            "num_queries": 10,
            "num_denoising": 0,
            "use_pretrained_backbone": False,
        },
    ),
    "MaskFormer": (
        "MaskFormerForInstanceSegmentation",
        "maskformer",
        {
            "backbone_config": (
                "swin",
                {**WINDOWS, "depths": [1] * 4, "num_heads": [2] * 4, "out_features": FOUR["out_features"]},
            ),
            "decoder_config": ("detr", {**DETECTOR, "backbone_config": ("resnet", RESNET)}),
            "fpn_feature_size": 32,
            "mask_feature_size": 32,
        },
    ),
    "Mask2Former": (
        "Mask2FormerForUniversalSegmentation",
        "mask2former",
        {
            "backbone_config": (
                "swin",
                {**WINDOWS, "depths": [1] * 4, "num_heads": [2] * 4, "out_features": FOUR["out_features"]},
            ),
            "hidden_dim": 32,
            "feature_size": 32,
            "mask_feature_size": 32,
            "encoder_layers": 2,
            "decoder_layers": 3,
            "num_attention_heads": 4,
            "encoder_feedforward_dim": 64,
            "dim_feedforward": 64,
            "num_queries": 10,
        },
    ),
    "EoMT": (
        "EomtForUniversalSegmentation",
        "eomt",
        {**PATCHES, "num_blocks": 1, "num_queries": 10, "num_upscale_blocks": 1},
    ),
    "CLIP, image tower": ("CLIPVisionModel", "clip_vision_model", PATCHES),
    "CLIP, projection": ("CLIPVisionModelWithProjection", "clip_vision_model", {**PATCHES, "projection_dim": 16}),
    "CLIP, classifier": ("CLIPForImageClassification", "clip", {"vision_config": PATCHES}),
    "SigLIP, image tower": ("SiglipVisionModel", "siglip_vision_model", PATCHES),
    "SigLIP, classifier": ("SiglipForImageClassification", "siglip", {"vision_config": PATCHES}),
    "BLIP, image tower": ("BlipVisionModel", "blip_vision_model", PATCHES),
    "AIMv2, image tower": ("Aimv2VisionModel", "aimv2_vision_model", PATCHES),
    "CLIPSeg, image tower": ("CLIPSegVisionModel", "clipseg_vision_model", PATCHES),
    "VitDet": ("VitDetBackbone", "vitdet", {**PATCHES, "out_features": ["stage2"]}),
    "ViTPose": (
        "VitPoseForPoseEstimation",
        "vitpose",
        {
            "backbone_config": ("vitpose_backbone", {**TINY, "image_size": [64, 64], "patch_size": [16, 16]}),
            "num_labels": 5,
        },
    ),
    "SAM, image encoder": (
        "SamVisionModel",
        "sam_vision_model",
        {**PATCHES, "output_channels": 16, "window_size": 2, "global_attn_indexes": [1]},
    ),
    "PP-LCNet": ("PPLCNetForImageClassification", "pp_lcnet", {}),
    "TextNet": ("TextNetForImageClassification", "textnet", {}),
    "SuperPoint": ("SuperPointForKeypointDetection", "superpoint", {}),
    "VideoMAE": (
        "VideoMAEForVideoClassification",
        "videomae",
        {**PATCHES, "num_frames": 4},
    ),
    "TimeSformer": ("TimesformerForVideoClassification", "timesformer", {**PATCHES, "num_frames": 2}),
    "ViViT": (
        "VivitForVideoClassification",
        "vivit",
        {**PATCHES, "num_frames": 4, "tubelet_size": [2, 16, 16]},
    ),
}
FRAMES = {"VideoMAE": 4, "TimeSformer": 2, "ViViT": 4}
SIZES = {"Perceiver": 224, "Deformable DETR": 128}
QUICK = {
    "ViT",
    "BEiT",
    "DINOv2 with registers",
    "Swin",
    "ResNet",
    "ConvNeXt",
    "EfficientNet",
    "SegFormer",
    "SegFormer, segmentation",
    "YOLOS",
    "DETR",
    "CLIP, image tower",
    "ViT-MAE",
    "DPT",
    "LeViT",
}


def architectures() -> Iterator[Architecture]:
    """Yield all, in the order of the table."""
    for name, (_, family, _) in MODELS.items():
        size, wrapping = SIZES.get(name, SIDE), {}
        if name in FRAMES:
            wrapping = {"inputs": functools.partial(_film, FRAMES[name])}
        make = functools.partial(_made, name, size, wrapping.get("inputs"))
        yield Architecture("transformers", family, name, make, size, wrapping, name in QUICK)


def _made(name: str, size: int, inputs: Any) -> Any:
    import transformers

    kind, family, given = MODELS[name]
    return prepared(lambda: getattr(transformers, kind)(_configuration(family, given)), size, inputs)


def _configuration(family: str, given: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    inner = {key: _configuration(*value) if isinstance(value, tuple) else value for key, value in given.items()}
    return AutoConfig.for_model(family, **inner)


def _film(frames: int, images: Any) -> tuple[Any]:
    """A film in which each image stands still, frames first."""
    return (images[:, None].expand(-1, frames, -1, -1, -1).contiguous(),)
