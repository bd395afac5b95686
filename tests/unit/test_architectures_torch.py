"""Architectures as people use them, at random weights: every layer is what its module says, and nothing has to be guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import phosphene as ph
from phosphene.backend import Network
from phosphene.layers import ATTENTION, OUTPUT
from pretend_operators import usable

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

STAGES = {"depths": [1] * 4, "hidden_sizes": [8, 16, 24, 40]}
VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 64,
    "patch_size": 16,
}
SWIN = {"image_size": 64, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}


@dataclass(frozen=True)
class Architecture:
    """A model to be made, and what is to be found in it."""

    make: Callable[[], nn.Module]
    maps: int = 0
    windows: int = 1
    size: int = 64
    options: dict[str, Any] = field(default_factory=dict)


def vision(name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        models = usable("torchvision").models
        for part in name.split("."):
            models = getattr(models, part)
        return models(**options)  # type: ignore[no-any-return, operator]

    return make


def timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: usable("timm").create_model(name, pretrained=False, **options)  # type: ignore[no-any-return]


def mixer() -> nn.Module:
    kind = usable("timm").models.mlp_mixer.MlpMixer
    return kind(num_classes=7, img_size=64, patch_size=16, num_blocks=2, embed_dim=40)  # type: ignore[no-any-return]


def convnext() -> nn.Module:
    models = usable("torchvision").models.convnext
    settings = [models.CNBlockConfig(8, 16, 1), models.CNBlockConfig(16, 24, 1), models.CNBlockConfig(24, None, 1)]
    return models.ConvNeXt(settings, num_classes=7)  # type: ignore[no-any-return]


def hugging(name: str, config: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        library = usable("transformers")
        return getattr(library, name)(getattr(library, config)(**options))  # type: ignore[no-any-return]

    return make


def eager(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """The same model with attention spelled out: as an explicit softmax."""

    def changed() -> nn.Module:
        model = make()
        if hasattr(model, "set_attn_implementation"):
            model.set_attn_implementation("eager")
        for module in model.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = False
        return model

    return changed


VIT_TINY = timm("vit_tiny_patch16_224", img_size=64, depth=2, embed_dim=48)
HF_VIT = hugging("ViTForImageClassification", "ViTConfig", **VIT)
SEGMENTATION = {"weights": None, "weights_backbone": None, "num_classes": 5}
TIMM_SWIN = timm(
    "swin_tiny_patch4_window7_224", img_size=64, window_size=4, depths=(2, 2), num_heads=(2, 4), embed_dim=24
)

ARCHITECTURES: dict[str, Architecture] = {
    "torchvision resnet": Architecture(vision("resnet18")),
    "torchvision vgg": Architecture(vision("vgg11_bn", num_classes=9)),
    "torchvision googlenet": Architecture(vision("googlenet", init_weights=False, aux_logits=True)),
    "torchvision convnext": Architecture(convnext),
    "torchvision efficientnet": Architecture(vision("efficientnet_b0")),
    "torchvision shufflenet": Architecture(vision("shufflenet_v2_x0_5")),
    "torchvision vit": Architecture(
        vision("VisionTransformer", image_size=64, patch_size=16, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=48),
        maps=2,
    ),
    "torchvision swin": Architecture(
        vision("SwinTransformer", patch_size=[4, 4], embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4]),
        maps=4,
        windows=16,
    ),
    "torchvision deeplab": Architecture(
        vision("segmentation.deeplabv3_mobilenet_v3_large", aux_loss=True, **SEGMENTATION)
    ),
    "timm vit": Architecture(VIT_TINY, maps=2),
    "timm vit, explicit": Architecture(eager(VIT_TINY), maps=2),
    "timm deit": Architecture(timm("deit_tiny_distilled_patch16_224", img_size=64, depth=2, embed_dim=48), maps=2),
    "timm convnext": Architecture(timm("convnext_atto", depths=(1, 1, 2, 1), dims=(8, 16, 24, 40))),
    "timm swin": Architecture(TIMM_SWIN, maps=4, windows=16),
    "timm swin, explicit": Architecture(eager(TIMM_SWIN), maps=4, windows=16),
    "timm mixer": Architecture(mixer),
    "timm resnet": Architecture(timm("resnet10t")),
    "timm pvt": Architecture(timm("pvt_v2_b0", depths=(1, 1, 1, 1), embed_dims=(8, 16, 20, 24)), maps=4),
    "timm beit": Architecture(timm("beit_base_patch16_224", img_size=64, depth=2, embed_dim=48, num_heads=4), maps=2),
    "timm xcit": Architecture(timm("xcit_nano_12_p16_224", depth=2, embed_dim=32)),
    "timm eva": Architecture(timm("eva02_tiny_patch14_224", img_size=56, depth=2, embed_dim=48), maps=2, size=56),
    "timm maxvit": Architecture(timm("maxvit_rmlp_pico_rw_256", img_size=128), maps=22, windows=64, size=128),
    "transformers vit": Architecture(HF_VIT, maps=2),
    "transformers vit, explicit": Architecture(eager(HF_VIT), maps=2),
    "transformers deit": Architecture(hugging("DeiTForImageClassification", "DeiTConfig", **VIT), maps=2),
    "transformers swin": Architecture(hugging("SwinForImageClassification", "SwinConfig", **SWIN), maps=4, windows=16),
    "transformers convnext": Architecture(hugging("ConvNextForImageClassification", "ConvNextConfig", **STAGES)),
    "transformers resnet": Architecture(
        hugging("ResNetForImageClassification", "ResNetConfig", embedding_size=8, **STAGES)
    ),
    "transformers clip": Architecture(
        hugging("CLIPVisionModelWithProjection", "CLIPVisionConfig", projection_dim=24, **VIT),
        maps=2,
        options={"output": "image_embeds"},
    ),
    "transformers dinov2": Architecture(
        hugging("Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersConfig", num_register_tokens=4, **VIT),
        maps=2,
    ),
    "transformers segformer": Architecture(
        hugging(
            "SegformerForSemanticSegmentation",
            "SegformerConfig",
            decoder_hidden_size=16,
            num_attention_heads=[1, 2, 3, 4],
            **STAGES,
        ),
        maps=4,
    ),
}
SLOW = {"timm maxvit", "torchvision vgg", "torchvision deeplab", "torchvision efficientnet", "torchvision googlenet"}


CASES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in ARCHITECTURES]


@pytest.fixture(scope="module")
def network() -> Callable[[str], Network]:
    """Each architecture once, without a warning: one would be an error."""
    made: dict[str, Network] = {}

    def of(name: str) -> Network:
        if name not in made:
            torch.manual_seed(0)
            architecture = ARCHITECTURES[name]
            made[name] = ph.wrap(architecture.make().eval(), size=architecture.size, **architecture.options)
        return made[name]

    return of


def images(net: Network) -> Any:
    return torch.rand(2, *net.input.size, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CASES)
def test_every_layer_is_what_its_module_says(name: str, network: Callable[[str], Network]) -> None:
    net, architecture = network(name), ARCHITECTURES[name]
    x = images(net)
    with torch.no_grad():
        read = net.forward(x, list(net.layers))
        second = net.forward(x[1:], list(net.layers))
    for path, layer in net.layers.items():
        assert read[path].shape == (2, *layer.shape), path
        torch.testing.assert_close(read[path][1:], second[path], atol=2e-4, rtol=2e-3, msg=path)
        stated = None if layer.kind == "Attention" or path.startswith(OUTPUT) else _stated(net.model, path)
        if layer.kind == "Linear" and layer.channel_axis != -1:  # it mixes tokens, and keeps the channels
            assert stated in layer.shape[:-1], (path, layer)
        else:
            assert stated in (None, layer.channels), (path, layer)
    maps = [layer for path, layer in net.layers.items() if path.partition("#")[0].endswith(ATTENTION)]
    assert len(maps) == architecture.maps
    for layer in maps:
        heads = read[layer.path].movedim(-1, -3)
        torch.testing.assert_close(heads.sum(-1), torch.ones(heads.shape[:-1]))
        assert heads.std() > 0
    assert max(layer.windows for layer in net.layers.values()) == architecture.windows


def _stated(model: nn.Module, path: str) -> int | None:
    """How many channels a leaf says that it makes."""
    module = model.get_submodule(path.partition("[")[0].partition("#")[0])
    if next(module.children(), None) is not None:
        return None
    for name in ("out_channels", "out_features", "num_features", "num_channels"):
        if isinstance(getattr(module, name, None), int):
            return int(getattr(module, name))
    shape = getattr(module, "normalized_shape", ())
    return int(shape[0]) if len(shape) == 1 else None


@pytest.mark.parametrize("name", CASES)
def test_edits_act_and_a_pass_that_ends_early_reads_the_same(name: str, network: Callable[[str], Network]) -> None:
    net = network(name)
    x, paths = images(net), list(net.layers)
    some = [paths[0], paths[len(paths) // 2], *[path for path in paths if ATTENTION in path][:2]]
    with torch.no_grad():
        whole = net.forward(x, [*dict.fromkeys(some), OUTPUT])
        for path in dict.fromkeys(some):
            torch.testing.assert_close(net.forward(x, [path])[path], whole[path])
            same = net.forward(x, [OUTPUT], edit={path: lambda xp, a: a * 1})[OUTPUT]
            torch.testing.assert_close(same, whole[OUTPUT], atol=1e-4, rtol=1e-3)
            noise = torch.randn(whole[path].shape, generator=torch.Generator().manual_seed(2)).abs()
            edited = net.forward(x, [path], edit={path: lambda xp, a, noise=noise: a + noise})[path]
            torch.testing.assert_close(edited, whole[path] + noise)
        if some[2:]:
            last = net.layers.last(some[2:])
            after = paths[paths.index(last) + 2]
            blind = {last: lambda xp, a: a * 0}
            plain, edited = net.forward(x, [after])[after], net.forward(x, [after], edit=blind)[after]
            assert not torch.equal(plain, edited)


@pytest.mark.parametrize("name", ["torchvision swin", "timm swin", "timm swin, explicit", "transformers swin"])
def test_windows_are_those_of_the_image(name: str, network: Callable[[str], Network]) -> None:
    net = network(name)
    maps = [layer for layer in net.layers.values() if layer.path.endswith(ATTENTION)]
    assert [layer.shape for layer in maps] == [(16, 16, 16, 2)] * 2 + [(4, 16, 16, 4)] * 2
    assert [layer.windows for layer in maps] == [16, 16, 4, 4]
    assert maps[0].axes == ("window", "query", "key", "head")
    # In the first block, whose windows are not shifted, one pixel moves one window: the one it is in, row by row.
    x = torch.rand(1, 64, 64, 3).repeat(2, 1, 1, 1)
    x[1, 20, 37] += 0.3
    first = net.forward(x, [maps[0].path])[maps[0].path]
    moved = (first[0] != first[1]).flatten(1).any(1)
    assert moved.nonzero().flatten().tolist() == [1 * 4 + 2]
    if "timm" not in name:  # which takes one size
        assert net.shapes((128, 64))[maps[0].path] == (32, 16, 16, 2)


@pytest.mark.parametrize(
    "pair",
    [
        ("timm vit", "timm vit, explicit"),
        ("timm swin", "timm swin, explicit"),
        ("transformers vit", "transformers vit, explicit"),
    ],
)
def test_fused_and_explicit_attention_are_one(pair: tuple[str, str], network: Callable[[str], Network]) -> None:
    fused, explicit = (network(name) for name in pair)
    x = images(fused)
    paths = [path for path in fused.layers if path.endswith(ATTENTION)]
    assert paths == [path for path in explicit.layers if path.endswith(ATTENTION)]
    one, other = fused.forward(x, [*paths, OUTPUT]), explicit.forward(x, [*paths, OUTPUT])
    for path in (*paths, OUTPUT):
        torch.testing.assert_close(one[path], other[path], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if ARCHITECTURES[name].maps == 2])
def test_the_tokens_of_transformers_are_known(name: str, network: Callable[[str], Network]) -> None:
    net = network(name)
    maps = [layer for layer in net.layers.values() if layer.path.endswith(ATTENTION)]
    for layer in maps:
        assert layer.tokens is not None and layer.tokens.grid == (4, 4)
        assert layer.tokens.count == layer.shape[0]


def test_a_model_of_two_inputs_is_given_the_other() -> None:
    library = usable("transformers")
    text = library.CLIPTextConfig(
        **{key: VIT[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")},
        vocab_size=50,
    )
    config = library.CLIPConfig(text_config=text.to_dict(), vision_config=VIT, projection_dim=16)
    torch.manual_seed(0)
    model = library.CLIPModel(config).eval()
    with pytest.raises(ph.PhospheneError, match=r"It takes input_ids, pixel_values, .*inputs=\{\.\.\.\}"):
        ph.wrap(model, size=64)
    words = torch.tensor([[1, 4, 6, 49], [1, 7, 8, 49], [1, 2, 2, 49]])
    net = ph.wrap(model, size=64, inputs={"input_ids": words[0]}, output="image_embeds")
    x = images(net)
    native = x.permute(0, 3, 1, 2)
    wanted = model(input_ids=words[:2], pixel_values=native)
    torch.testing.assert_close(net.forward(x, [OUTPUT])[OUTPUT], wanted.image_embeds)
    with pytest.raises(ph.PhospheneError, match="one row per image, for one image and for two"):
        ph.wrap(model, size=64, inputs={"input_ids": words[0]}, output="logits_per_image")
    # One row of logits an image, one column a sentence: the sentences are the same for all images.
    scored = ph.wrap(
        model, size=64, inputs=lambda x: {"input_ids": words, "pixel_values": x}, output="logits_per_image"
    )
    wanted = model(input_ids=words, pixel_values=native)
    torch.testing.assert_close(scored.forward(x, [OUTPUT])[OUTPUT], wanted.logits_per_image)
