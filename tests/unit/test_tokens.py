"""What tokens are: found where a probe shows it, stated where the user says it, and otherwise left unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import chosen
from phosphene.backend import Network
from phosphene.layers import Tokens
from pretend_operators import usable

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 64,
    "patch_size": 16,
}


def timm(name: str, **options: Any) -> nn.Module:
    return usable("timm").create_model(name, pretrained=False, **options)  # type: ignore[no-any-return]


def hugging(name: str, config: str, **options: Any) -> nn.Module:
    library = usable("transformers")
    return getattr(library, name)(getattr(library, config)(**{**SMALL, **options}))  # type: ignore[no-any-return]


def visual(**options: Any) -> nn.Module:
    return usable("torchvision").models.VisionTransformer(64, 16, 2, 4, 32, 48, **options)  # type: ignore[no-any-return]


Case = tuple[Callable[[], nn.Module], Any, str, tuple[str, ...], tuple[int, int]]
REGISTERS = ("register",) * 4
CASES: dict[str, Case] = {
    "torchvision": (visual, 64, "encoder.dropout", ("class",), (4, 4)),
    "timm": (lambda: timm("vit_tiny_patch16_224", img_size=64, depth=2), 64, "pos_drop", ("class",), (4, 4)),
    "not square": (
        lambda: timm("vit_tiny_patch16_224", img_size=64, depth=2, dynamic_img_size=True),
        (64, 96),
        "pos_drop",
        ("class",),
        (4, 6),
    ),
    "averaged": (
        lambda: timm("vit_tiny_patch16_224", img_size=64, depth=2, class_token=False, global_pool="avg"),
        64,
        "patch_embed",
        (),
        (4, 4),
    ),
    "registers": (
        lambda: timm("vit_small_patch14_reg4_dinov2", img_size=56, depth=2),
        56,
        "pos_drop",
        ("class", *REGISTERS),
        (4, 4),
    ),
    "registers, Hugging Face": (
        lambda: hugging("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", num_register_tokens=4),
        64,
        "embeddings.dropout",
        ("class", *REGISTERS),
        (4, 4),
    ),
    "distilled": (
        lambda: hugging("DeiTForImageClassificationWithTeacher", "DeiTConfig"),
        64,
        "deit.embeddings.dropout",
        ("class", "distillation"),
        (4, 4),
    ),
    "Hugging Face": (
        lambda: hugging("ViTForImageClassification", "ViTConfig"),
        64,
        "vit.embeddings.dropout",
        ("class",),
        (4, 4),
    ),
    "CLIP": (
        lambda: hugging("CLIPVisionModel", "CLIPVisionConfig"),
        64,
        "embeddings",
        ("class",),
        (4, 4),
    ),
}


def wrapped(model: nn.Module, size: Any, **options: Any) -> Network:
    torch.manual_seed(0)
    return ph.wrap(model.eval(), size=size, output=lambda y: torch.zeros(len(next(iter(_all(y)))), 2), **options)


def _all(tree: Any) -> Any:
    """All tensors in what a model returned, which these tests do not read."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    return [x for item in (tree.values() if isinstance(tree, dict) else tree) for x in _all(item)]


@pytest.fixture(scope="module")
def network() -> Callable[[str], Network]:
    made: dict[str, Network] = {}

    def of(name: str) -> Network:
        if name not in made:
            torch.manual_seed(0)
            made[name] = wrapped(CASES[name][0](), CASES[name][1])
        return made[name]

    return of


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_found(name: str, network: Callable[[str], Network]) -> None:
    _, _, path, prefix, grid = CASES[name]
    layers = network(name).layers
    first = next(layer for layer in layers.values() if layer.path.endswith(path) and len(layer.shape) == 2)
    assert first.tokens == Tokens(prefix, grid)
    several = [layer for layer in layers.values() if len(layer.shape) == 2 and layer.shape[0] == first.shape[0]]
    assert len(several) > 8 and all(layer.tokens == first.tokens for layer in several)
    maps = [layer for layer in layers.values() if layer.path.endswith("@attention")]
    assert len(maps) == 2 and all(layer.tokens == first.tokens for layer in maps)


@pytest.mark.parametrize("name", CASES)
def test_each_patch_is_where_its_pixels_are(name: str, network: Callable[[str], Network]) -> None:
    net, (_, _, _, prefix, (rows, columns)) = network(name), CASES[name]
    layer = next(layer for layer in net.layers.values() if layer.tokens and layer.tokens.prefix == prefix)
    height, width = net.input.size
    images = np.random.default_rng(5).random((1, height, width, 3))
    changed = np.repeat(images, 1 + rows * columns, axis=0)
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        changed[1 + index, row * height // rows + 3, column * width // columns + 5] += 0.3
    read = net.forward(torch.tensor(changed, dtype=torch.float32), [layer.path])[layer.path]
    moved = (read[1:] != read[:1]).any(-1)
    wanted = torch.zeros_like(moved)
    assert layer.tokens is not None
    for index in range(rows * columns):
        wanted[index, layer.tokens.index(*divmod(index, columns))] = True
    assert torch.equal(moved, wanted)


@pytest.mark.parametrize("name", ["torchvision", "registers", "registers, Hugging Face", "distilled", "CLIP"])
def test_names_in_front_are_those_of_the_parameters(name: str, network: Callable[[str], Network]) -> None:
    net, prefix = network(name), CASES[name][3]
    layer = next(layer for layer in net.layers.values() if layer.tokens and layer.tokens.prefix == prefix)
    parts = {"class": ("class_", "cls_"), "distillation": ("dist",), "register": ("reg",)}
    grey = torch.full((1, *net.input.size, 3), 0.5)
    plain = net.forward(grey, [layer.path])[layer.path]
    for kind in dict.fromkeys(prefix):

        def moved(path: str, array: Any, starts: tuple[str, ...] = parts[kind]) -> Any:
            return array + path.rpartition(".")[2].startswith(starts)

        other = net.with_weights(moved).forward(grey, [layer.path])[layer.path]
        changed = (other != plain).any(-1)[0, : len(prefix)].tolist()
        assert changed == [token == kind for token in prefix]


def test_a_pyramid_has_a_grid_at_each_stage() -> None:
    library = usable("transformers")
    config = library.SegformerConfig(hidden_sizes=[8, 12, 24, 40], depths=[1] * 4, num_attention_heads=[1, 2, 3, 4])
    layers = wrapped(library.SegformerModel(config), 96).layers
    grids = {layer.tokens.grid: layer.tokens.prefix for layer in layers.values() if layer.tokens is not None}
    assert grids == {(24, 24): (), (12, 12): (), (6, 6): (), (3, 3): ()}
    assert layers["stages.0.blocks.0.attention@attention"].tokens is None  # queries of one grid, keys of another


def test_tokens_in_another_order_are_not_those_of_a_grid() -> None:
    layers = wrapped(timm("hiera_tiny_224", img_size=(224, 224), stages=(1, 1, 1, 1), embed_dim=32), 224).layers
    assert layers["patch_embed"].tokens == Tokens((), (56, 56))
    assert layers["blocks.0.norm1"].shape[0] == 56 * 56
    assert layers["blocks.0.norm1"].tokens is None


class Detector(nn.Module):
    """As many queries as patches: what comes out of the decoder stands for no patch."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.into = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8)
        self.query_embed = nn.Parameter(torch.randn(1, 16, 8))
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: Any) -> Any:
        t = self.into(self.patch(x).flatten(2).transpose(1, 2))
        q = self.q(self.query_embed.expand(len(x), -1, -1))
        return self.out(F.softmax(q @ self.k(t).mT, -1) @ self.v(t))


class Mixer(nn.Module):
    """As many channels as tokens, and the two change places."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm, self.tokens = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16), nn.Linear(16, 16)
        self.channels = nn.Linear(16, 16)

    def forward(self, x: Any) -> Any:
        t = self.norm(self.patch(x).flatten(2).transpose(1, 2))
        return self.channels(t + self.tokens(t.mT).mT).mean(1)


def test_queries_and_transposed_tokens_stay_unknown() -> None:
    layers = wrapped(Detector(), 16).layers
    assert [path for path, layer in layers.items() if layer.tokens == Tokens((), (4, 4))] == ["into", "k", "v"]
    assert layers["q"].tokens is None and layers["out"].tokens is None
    layers = wrapped(Mixer(), 16).layers
    assert layers["norm"].tokens == Tokens((), (4, 4))
    assert layers["tokens"].shape == (16, 16) and layers["tokens"].tokens is None


def test_the_queries_of_a_detector_are_no_patches() -> None:
    library = usable("transformers")
    backbone = library.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1] * 4, out_features=["stage4"]
    )
    config = library.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=6,
    )
    with pytest.warns(ph.PhospheneWarning, match="guessed for 1 of .*position_embedding"):
        layers = wrapped(library.DetrModel(config), (64, 96)).layers
    found = [path for path, layer in layers.items() if layer.tokens is not None]
    assert found and all(
        path.startswith(("encoder", "decoder.layers.0.encoder_attn.k", "decoder.layers.0.encoder_attn.v"))
        for path in found
    )
    assert layers["decoder.layers.0.self_attn.q_proj"].shape == (6, 32)


def test_what_is_stated_is_taken(network: Callable[[str], Network]) -> None:
    layers = wrapped(visual(), 64, tokens=("summary",)).layers
    assert layers["encoder.dropout"].tokens == Tokens(("summary",), (4, 4))
    with pytest.raises(ph.PhospheneError, match=r"have 17 tokens, and no grid of patches fits .* without 3 special"):
        wrapped(visual(), 64, tokens=("a", "b", "c"))


def _patching_module(weights: Any, own: Any) -> Any:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.class_token = nn.Parameter(torch.from_numpy(own[None]))
            self.w, self.tokens = nn.Parameter(torch.from_numpy(weights)), nn.Identity()

        def forward(self, x: Any) -> Any:
            x = x.permute(0, 2, 3, 1).reshape(-1, 3, 4, 5, 4, 3).permute(0, 1, 3, 2, 4, 5).reshape(-1, 15, 48)
            return self.tokens(torch.cat([self.class_token.expand(len(x), -1, -1), x @ self.w], 1)).mean(1)

    return Patches().eval()


def _patching_function(weights: Any, own: Any) -> Any:
    import jax.numpy as jnp
    from jax.ad_checkpoint import checkpoint_name

    def function(given: Any, x: Any) -> Any:
        x = x.reshape(-1, 3, 4, 5, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 15, 48) @ given["w"]
        front = jnp.broadcast_to(given["class_token"], (len(x), 2, 10))
        return checkpoint_name(jnp.concatenate([front, x], 1), "tokens").mean(1)

    return function, {"w": jnp.asarray(weights), "class_token": jnp.asarray(own[None])}


def _patching_generator(weights: Any, own: Any) -> Any:
    import autograd.numpy as xp

    from reference_backend import Model

    def function(given: Any, x: Any) -> Any:
        x = x.reshape(-1, 3, 4, 5, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 15, 48) @ given["w"]
        front = xp.repeat(given["class_token"], x.shape[0], axis=0)
        x = yield "tokens", xp.concatenate([front, x], axis=1)
        return x.mean(1)

    return Model(function, {"w": weights, "class_token": own[None]})


def test_patches_cut_by_hand_are_found_on_every_backend(backend: str) -> None:
    random = np.random.default_rng(0)
    weights, own = random.standard_normal((48, 10)).astype("float32"), random.standard_normal((2, 10)).astype("float32")
    makers = {"torch": _patching_module, "jax": _patching_function, "numpy-reference": _patching_generator}
    layers = ph.wrap(chosen(makers, backend)(weights, own), size=(12, 20)).layers
    assert layers["tokens"].tokens == Tokens(("class", "class"), (3, 5))


class Encoder(nn.Module):
    """Adds a table of positions, which is a layer of its own, and widens to as many channels as there are tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.table, self.norm = nn.Conv2d(3, 8, 4, 4), nn.Embedding(16, 8), nn.LayerNorm(8)
        self.attention, self.wide, self.narrow = (
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Linear(8, 16),
            nn.Linear(16, 8),
        )

    def forward(self, x: Any) -> Any:
        places = self.table(torch.arange(16).expand(len(x), -1))
        t = self.norm(places + self.patch(x).flatten(2).transpose(1, 2))
        t = t + self.attention(t, t, t)[0]
        return self.narrow(self.wide(t).relu()).mean(1)


def test_a_constant_layer_and_one_as_wide_as_long_do_not_hide_the_tokens_of_others() -> None:
    layers = wrapped(Encoder(), 16).layers
    known = [path for path, layer in layers.items() if layer.tokens == Tokens((), (4, 4))]
    assert [path for path in known if "@" not in path and "[" not in path] == ["norm", "attention", "wide", "narrow"]
    assert layers["table"].tokens is None
