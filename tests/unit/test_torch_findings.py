"""What is measured when a PyTorch model is wrapped: memory layout, mode, randomness, batch axis, and what cannot be read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import phosphene as ph  # noqa: E402
from phosphene.backend import Interface  # noqa: E402
from phosphene.errors import ModelFailed, ModelWarning, UnknownLayer  # noqa: E402
from phosphene_torch import backend  # noqa: E402
from torch_models import images, wrap  # noqa: E402


class Body(nn.Module):
    """A convolution and a linear head, with `step` in between on the map (N, C, H, W) or what it returns."""

    def __init__(self, step: Callable[[Any], Any], width: int = 6, **modules: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        for name, module in modules.items():
            self.add_module(name, module)
        self.step, self.head = step, nn.Linear(width, 5)

    def forward(self, x: Any) -> Any:
        return self.head(self.step(self.stem(x)))


def pooled(x: Any) -> Any:
    return x.mean((2, 3))


# Memory layout


def strided(x: Any) -> Any:
    """A view of images and channels as one axis, which other memory allows for one image, but not for two."""
    return x.view(len(x) * 6, -1).mean(1).view(len(x), 6)


def asserting(x: Any) -> Any:
    assert x.is_contiguous(), "expects contiguous memory"
    return pooled(x)


@pytest.mark.parametrize("step", [strided, asserting])
def test_a_model_that_wants_contiguous_memory_gets_it(step: Any) -> None:
    model, x = Body(step).eval(), images()
    network = wrap(model)
    assert network.findings.memory == "contiguous"
    native = x.permute(0, 3, 1, 2).contiguous()
    torch.testing.assert_close(network.forward(x, ["output"])["output"], model(native))
    # An edit of the layer in front must not change the layout either, whatever it returns.
    moved = network.forward(x, ["output"], edit={"stem": lambda xp, a: (a * 2).contiguous()})["output"]
    torch.testing.assert_close(moved, model.head(step(model.stem(native) * 2)))
    gradient, _ = backend.grad(lambda y: (network.forward(y, ["output"])["output"].sum(), ()))(x)
    assert float(gradient.abs().sum()) > 0
    assert network.shapes((4, 6))["stem"] == (4, 6, 6)
    assert wrap(Body(pooled).eval()).findings.memory == "channels last"


def test_one_grey_channel_gets_contiguous_memory_too() -> None:
    class Digits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool, self.fc = nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Linear(4 * 3 * 4, 10)

        def forward(self, x: Any) -> Any:
            x = self.pool(torch.relu(self.conv(x)))
            return self.fc(x.view(-1, 4 * 3 * 4))

    model, x = Digits().eval(), images()[..., :1]
    network = ph.wrap(model, size=(8, 10), channels=1)
    assert network.findings.memory == "contiguous"
    native = x.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
    torch.testing.assert_close(network.forward(x, ["output"])["output"], model(native))


def test_the_layout_is_found_anew_at_another_size() -> None:
    pool = nn.AdaptiveAvgPool2d(1)
    model = Body(lambda x: model.pool(x).view(len(x), -1)[:, :6], pool=pool).eval()
    network = wrap(model)
    assert network.findings.memory == "channels last"
    pool.output_size = (2, 2)
    assert network.forward(images(size=(6, 6)), ["output"])["output"].shape == (2, 5)


def test_where_no_layout_helps_the_first_error_is_told() -> None:
    with pytest.raises(ModelFailed, match=r"cannot be multiplied.*channels last and contiguous") as caught:
        wrap(Body(pooled, width=7).eval())
    assert isinstance(caught.value.__cause__, RuntimeError)


# Mode


class Switched(nn.Module):
    """A normalisation whose statistics are those of its batch unless `frozen` is given."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm, self.head = nn.Conv2d(3, 6, 3, padding=1), Norm(6), nn.Linear(6, 5)

    def forward(self, x: Any, frozen: bool = False) -> Any:
        return self.head(F.relu(self.norm(self.stem(x), frozen)).mean((2, 3)))


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Any, frozen: bool) -> Any:
        return F.batch_norm(x, self.mean, self.variance, training=not frozen)


def test_statistics_of_the_batch_are_found_by_numbers_and_the_switch_is_named() -> None:
    model = Switched().eval()
    with pytest.warns(ModelWarning, match=r"'norm' \(Norm\).*inputs=\{\"frozen\": True\}") as caught:
        network = wrap(model)
    assert not any("is read in evaluation mode" in str(item.message) for item in caught)
    assert network.findings.mixes_images and not network.findings.random
    before = model.norm.mean.clone()
    network.forward(images(), ["output"])
    assert torch.equal(model.norm.mean, before) and torch.equal(before, torch.zeros(6))
    settled = wrap(model, interface=Interface(inputs={"frozen": True}))
    assert not settled.findings.mixes_images
    assert "independent of its batch" in str(settled.report()) and "depends on the other" in str(network.report())


def test_a_batch_normalisation_without_running_statistics_is_named_though_the_head_is_zero() -> None:
    model = Body(lambda x: pooled(model.norm(x)), norm=nn.BatchNorm2d(6, track_running_stats=False)).eval()
    nn.init.zeros_(model.head.weight)
    with pytest.warns(ModelWarning, match="'norm' .BatchNorm2d"):
        assert wrap(model).findings.mixes_images


def test_training_mode_is_said_where_the_numbers_agree() -> None:
    with pytest.warns(ModelWarning, match="is read in evaluation mode, and its mode is not changed"):
        network = wrap(Body(pooled, norm=nn.BatchNorm2d(6)).train())
    assert network.findings.training and not network.findings.mixes_images


# Random numbers


def noisy(x: Any) -> Any:
    return pooled(x) + torch.randn(len(x), 6)


def masked(x: Any) -> Any:
    return F.dropout(pooled(x), 0.1)


def from_numpy(x: Any) -> Any:
    return pooled(x) * torch.as_tensor(np.random.rand(6), dtype=x.dtype)  # noqa: NPY002


@pytest.mark.parametrize("step", [noisy, masked, from_numpy])
def test_a_network_that_draws_is_seeded_by_its_draw(step: Any) -> None:
    network, x = wrap(Body(step).eval()), images()
    assert network.findings.random and not network.findings.mixes_images
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one, again, other = (network.forward(x, ["output"], draw=torch.tensor(seed))["output"] for seed in (3, 3, 4))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(network.forward(x, ["output"])["output"], network.forward(x, ["output"])["output"])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002


def test_two_pictures_of_a_network_that_draws_are_one_from_one_seed() -> None:
    seen: list[Any] = []

    def watched(x: Any) -> Any:
        mask = F.dropout(torch.ones(6), 0.5)
        seen.append(tuple(mask.tolist()))
        return pooled(x) * mask

    network = ph.wrap(Body(watched).eval(), size=(8, 10))
    seen.clear()
    pictures = [ph.render(network, ph.channel("output", 1), steps=6, seed=2, progress=False).images for _ in range(2)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert len(set(seen)) > 3  # another mask at each step


def test_a_network_that_cannot_be_seeded_is_told() -> None:
    own = torch.Generator().manual_seed(0)
    model = Body(lambda x: pooled(x) + torch.randn(6, generator=own)).eval()
    with pytest.warns(ModelWarning, match="also from one seed"):
        network = wrap(model)
    assert network.findings.random and "two runs from one seed differ" in str(network.report())


def test_a_network_without_either_takes_two_passes() -> None:
    calls = []
    network = wrap(Body(lambda x: calls.append(len(x)) or pooled(x)).eval())
    assert calls == [1, 2]
    assert not network.findings.random and not network.findings.mixes_images


# Several outputs


class Branches(nn.Module):
    """Returns what `form` makes of a wide and of a narrow map."""

    def __init__(self, form: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.wide, self.narrow, self.form = nn.Conv2d(6, 8, 1), nn.Conv2d(6, 4, 1, 2), form

    def forward(self, x: Any) -> Any:
        return self.form(self.wide(x), self.narrow(x))


FORMS = {
    "tuple": (lambda a, b: (a, b), "[1]", lambda y: y[1]),
    "list in a tuple": (lambda a, b: ("x", [a, None, b]), "[1][2]", lambda y: y[1][2]),
    "mapping": (lambda a, b: {"map": a, "aux": b}, '["aux"]', lambda y: y["aux"]),
    "integers": (lambda a, b: {3: a, 5: b}, "[5]", lambda y: y[5]),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_of_several_tensors_is_a_layer(form: str) -> None:
    made, suffix, taken = FORMS[form]
    model = Body(lambda x: pooled(taken(model.block(x + 0 * taken(model.block(x)).mean()))), 4, block=Branches(made))
    model.eval()
    network, x = wrap(model), images()
    path = f"block#1{suffix}"
    assert {f"block{suffix}", path} <= set(network.layers)
    assert network.layers[path].shape == (4, 5, 4) and network.layers[path].kind == "Branches"
    read = network.forward(x, [path, "block.narrow#1", "output"])
    torch.testing.assert_close(read[path], read["block.narrow#1"])
    torch.testing.assert_close(network.forward(x, [path])[path], read[path])
    edited = network.forward(x, [path, "output"], edit={path: lambda xp, a: a * 0})
    assert not edited[path].any()
    torch.testing.assert_close(edited["output"], model.head.bias.expand(2, 5))
    assert network.layers.select(path)[path].path == path


def test_the_main_tensor_has_one_path_and_answers_to_its_index() -> None:
    model = Body(lambda x: pooled(model.block(x)["map"]), 8, block=Branches(FORMS["mapping"][0])).eval()
    network, x = wrap(model), images()
    assert list(network.layers) == ["stem", "block.wide", "block.narrow", "block", 'block["aux"]', "head", "output"]
    other = 'block["map"]'
    assert network.layers[other] is network.layers["block"]
    read = network.forward(x, [other, "output"], edit={other: lambda xp, a: a + 1})
    torch.testing.assert_close(read[other], network.forward(x, ["block"])["block"] + 1)
    with pytest.raises(UnknownLayer):
        network.layers["block[7]"]


def test_a_recurrent_network_gives_its_state_and_attention_no_noise() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 2, 2)
            self.attend = nn.MultiheadAttention(8, 2)
            self.read = nn.LSTM(8, 6, num_layers=2)

        def forward(self, x: Any) -> Any:
            t = self.patches(x).flatten(2).permute(2, 0, 1)
            t, _ = self.attend(t, t, t)
            _, (hidden, _) = self.read(t)
            return hidden[-1]

    torch.manual_seed(0)
    model, x = Reader().eval(), images()
    network = wrap(model)
    assert list(network.layers) == [
        "patches",
        "attend@attention",
        "attend",
        "read",
        "read[1][0]",
        "read[1][1]",
        "output",
    ]
    read = network.forward(x, list(network.layers))
    for path, shape in {"attend": (20, 8), "read": (20, 6), "read[1][0]": (2, 6)}.items():
        assert network.layers[path].shape == shape and network.layers[path].batch_axis == 1
        assert read[path].shape == (2, *shape)
    torch.testing.assert_close(read["read[1][0]"][:, -1], read["output"])
    gone = network.forward(x, ["output"], edit={"read[1][0]": lambda xp, a: a * 0})["output"]
    assert not gone.any()


def test_further_tensors_of_the_return_value_are_layers() -> None:
    class Two(Body):
        def forward(self, x: Any) -> Any:
            x = self.stem(x)
            return {"out": self.head(pooled(x)), "aux": x.amax((2, 3)), "size": x.shape}

    network, x = wrap(Two(pooled).eval()), images()
    assert list(network.layers)[-2:] == ['output["aux"]', "output"]
    read = network.forward(x, ['output["aux"]', "output", "stem"])
    torch.testing.assert_close(read['output["aux"]'], read["stem"].amax((1, 2)))
    torch.testing.assert_close(network.forward(x, ['output["aux"]'])['output["aux"]'], read['output["aux"]'])


# The batch axis


class Encoder(nn.Module):
    """A transformer over patches with its tokens in front of the batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 8, 2, 2)
        self.place = nn.Parameter(torch.randn(20, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 12)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.last, self.head = nn.Identity(), nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        t = self.patches(x).flatten(2).permute(2, 0, 1)
        return self.head(self.last(self.encoder(t + self.place)).mean(0))


def test_tokens_in_front_of_the_batch_are_read_image_by_image() -> None:
    network, x = ph.wrap(Encoder().eval(), size=(8, 10)), images()
    assert not network.findings.guessed
    for path in ("encoder.layers.0.linear1", "encoder.layers.0", "encoder", "last"):
        layer = network.layers[path]
        assert (layer.shape, layer.batch_axis) == ((20, 12 if "linear1" in path else 8), 1), path
        assert layer.tokens is not None and layer.tokens.grid == (4, 5), path
        both, alone = network.forward(x, [path])[path], network.forward(x[1:], [path])[path]
        torch.testing.assert_close(both[1:], alone)
    gone = torch.tensor([1.0, 0.0])[:, None, None]
    plain = network.forward(x, ["output"])["output"]
    edited = network.forward(x, ["output"], edit={"last": lambda xp, a: a * gone})["output"]
    torch.testing.assert_close(edited[0], plain[0])
    torch.testing.assert_close(edited[1], network.model.head.bias)


class Last(nn.Module):
    """Columns of images: the batch is the last axis."""

    def forward(self, x: Any) -> Any:
        return x.transpose(0, 1)


def test_channels_in_front_of_the_batch_are_left_out_with_a_reason() -> None:
    columns = nn.Sequential(nn.Identity(), Last())
    model = Body(lambda x: model.columns(pooled(x)).transpose(0, 1), columns=columns).eval()
    network = wrap(model)
    assert list(network.layers) == ["stem", "columns.0", "head", "output"]
    assert "first axis" in network.findings.unread["columns"]


# What cannot be read


def test_modules_that_are_no_layers_have_a_reason() -> None:
    class Odd(nn.Module):
        def __init__(self, f: Callable[[Any], Any]) -> None:
            super().__init__()
            self.f = f

        def forward(self, x: Any) -> Any:
            return self.f(x)

    odd = {
        "count": Odd(lambda x: len(x)),
        "mask": Odd(lambda x: x > 0),
        "loss": Odd(lambda x: x.square().mean()),
        "table": Odd(lambda x: torch.ones(7, 3)),
        "apart": Odd(lambda x: x.permute(1, 2, 3, 0).flatten(2)),
    }

    def step(x: Any) -> Any:
        for name in odd:
            getattr(model, name)(x)
        return pooled(x)

    model = Body(step, never=nn.Linear(2, 2), heads=nn.ModuleList([nn.Linear(6, 1)]), **odd).eval()
    network = wrap(model)
    unread = network.findings.unread
    assert unread["never"] == unread["heads.0"] == "did not run"
    assert unread["count"] == unread["mask"] == "returns no floating tensor"
    assert "one number" in unread["loss"]
    assert unread["table"] == "has no axis with one entry per image"
    assert "apart" in unread and "heads" not in unread
    assert unread.keys().isdisjoint(network.layers)
    assert "did not run" in str(network.report())


def test_a_model_of_one_piece_says_why_only_its_output_is_read() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 3, 1, 1))

        def forward(self, x: Any) -> Any:
            return F.conv2d(x, self.weight).mean((2, 3))

    with pytest.warns(ModelWarning, match="no inner layer could be read, because .*no submodules"):
        assert list(wrap(Whole().eval()).layers) == ["output"]


# Guesses that fail


def nothing_found(x: Any) -> Any:
    """A detector that finds nothing on a grey image."""
    corners = x[0, :4].flatten(1).T
    kept = corners[x[0].amax(0).flatten() > 1e9]
    return pooled(x) + kept.unflatten(1, (2, 2)).sum()


def empties(x: Any) -> Any:
    """Reshapes of tensors without values."""
    none = x[:, :, :0].flatten(2)
    return pooled(x) + none.reshape(-1, 3, 2, 1).sum() + none.permute(2, 0, 1).view(-1, 2, 3).sum()


def masks(x: Any) -> Any:
    """Indices that are no slices: masks of several axes, arrays of no axis."""
    flat = x[:, :, torch.ones(x.shape[2:], dtype=torch.bool)]
    first = x[:, torch.tensor(0)]
    return flat.mean(2) + first.mean((1, 2))[:, None] + x[x.new_zeros(0, dtype=torch.long)].sum()


@pytest.mark.parametrize("step", [nothing_found, empties, masks])
def test_an_operation_that_is_not_followed_is_no_error_of_the_model(step: Any) -> None:
    model, x = Body(step).eval(), images()
    network = wrap(model)
    torch.testing.assert_close(network.forward(x, ["output"])["output"], model(x.permute(0, 3, 1, 2)))


def test_a_models_own_error_is_its_own() -> None:
    with pytest.raises(ModelFailed, match="no boxes") as caught:
        wrap(Body(lambda x: (_ for _ in ()).throw(KeyError("no boxes"))).eval())
    assert isinstance(caught.value.__cause__, KeyError)
    assert wrap(Body(lambda x: caught_inside(x)).eval()).layers["output"].shape == (5,)


def caught_inside(x: Any) -> Any:
    """A model that tries an operation and does without."""
    try:
        x = torch.softmax(x, 7)
    except IndexError:
        x = x + 1
    return pooled(x)


# Another size


def test_another_size_needs_only_what_is_below_the_layer() -> None:
    model = Body(lambda x: torch.flatten(model.down(x), 1), width=4 * 4 * 5, down=nn.Conv2d(6, 4, 2, 2)).eval()
    network = ph.wrap(model, size=(8, 10))
    shapes = network.shapes((12, 20))
    assert shapes["down"] == (6, 10, 4)
    with pytest.raises(ModelFailed, match=r"\(1, 3, 12, 20\)") as caught:
        shapes["output"]
    assert isinstance(caught.value.__cause__, RuntimeError)
    x = images(size=(12, 20))
    read = network.forward(x, ["down"])["down"]
    torch.testing.assert_close(read.permute(0, 3, 1, 2), model.down(model.stem(x.permute(0, 3, 1, 2))))
    with pytest.raises(ModelFailed, match="cannot be multiplied"):
        network.forward(x, ["output"])
    with pytest.raises(ModelFailed, match="cannot be multiplied"):
        network.forward(x, ["stem"], edit={"head": lambda xp, a: a})
    with pytest.raises(UnknownLayer):
        network.forward(x, ["dwon"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = ph.render(network, ph.channel("down", 1), size=(12, 20), steps=2, progress=False)
    assert picture.images.shape[1:3] == (12, 20)


# One number per image, and convolutions


def test_one_number_per_image_is_one_channel_also_inside() -> None:
    class Score(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((1, 2, 3))

    class Scores(Body):
        def forward(self, x: Any) -> Any:
            return self.score(self.stem(x))

    model, x = Scores(pooled, score=Score()).eval(), images()
    network = wrap(model)
    assert network.layers["score"].shape == network.layers["output"].shape == (1,)
    read = network.forward(x, ["score", "output", "stem"], edit={"score": lambda xp, a: a + 1})
    assert read["score"].shape == read["output"].shape == (2, 1)
    torch.testing.assert_close(read["output"][:, 0], read["stem"].mean((1, 2, 3)) + 1)


def test_a_convolution_is_neither_a_guess_nor_tokens_whatever_numbers_agree() -> None:
    class Reduced(nn.Module):
        """A map of 8 x 8 with 8 channels beside 64 tokens of 8 channels, as in a hierarchical transformer."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.patches, self.mix = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 8)
            self.depthwise, self.reduce, self.wide = (
                nn.Conv2d(8, 8, 3, 1, 1, groups=8),
                nn.Conv2d(8, 8, 1),
                nn.Conv2d(8, 64, 1),
            )

        def forward(self, x: Any) -> Any:
            x = self.patches(x)
            t = self.mix(x.flatten(2).transpose(1, 2))
            x = self.depthwise(t.transpose(1, 2).view(len(x), 8, 8, 8))
            return self.wide(self.reduce(x)).mean((2, 3))

    network = ph.wrap(Reduced().eval(), size=16)
    assert not network.findings.guessed
    for path in ("patches", "depthwise", "reduce", "wide"):
        layer = network.layers[path]
        assert layer.shape[:2] == (8, 8) and layer.channel_axis == 1 and layer.tokens is None
    assert network.layers["mix"].shape == (64, 8)
