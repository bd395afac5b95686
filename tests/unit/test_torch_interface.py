"""How a PyTorch model is called and read: further inputs, and which part of what it returns is the output."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from phosphene.backend import Interface  # noqa: E402
from phosphene.errors import InvalidParameter, ModelFailed, ModelWarning, UnknownLayer  # noqa: E402
from phosphene_torch.outputs import main_tensor, replace_main  # noqa: E402
from torch_models import images, mixed, returns, wrap  # noqa: E402


class Several(nn.Module):
    """Wants more than images: a question in words, a vector, a number and a flag; images come second."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.look = nn.Embedding(9, 4), nn.Conv2d(3, 4, 1)
        self.seen: list[Any] = []

    def forward(self, ids: Any, pixels: Any, *, shift: Any, scale: float = 1.0, twice: bool = False) -> Any:
        self.seen.append((ids, shift))
        y = self.look(pixels).mean((2, 3)) + self.words(ids).view(len(ids) * 2, -1).view(len(ids), 2, 4).sum(1)
        return (y + shift) * scale * (2 if twice else 1)


GIVEN = {"ids": np.array([1, 5]), "shift": torch.ones(4, dtype=torch.float64), "scale": 3.0, "twice": True}


def several() -> nn.Module:
    torch.manual_seed(0)
    return Several().eval()


def test_constants_are_for_all_images_and_images_go_to_what_is_left() -> None:
    model, x = several(), images()
    network = wrap(model, interface=Interface(inputs=GIVEN))
    read = network.forward(x, ["look", "output"])
    ids, shift = torch.tensor([[1, 5], [1, 5]]), torch.ones(2, 4)
    wanted = model(ids, x.permute(0, 3, 1, 2), shift=shift, scale=3.0, twice=True)
    torch.testing.assert_close(read["output"], wanted)
    given_ids, given_shift = model.seen[-2]
    assert given_ids.shape == (2, 2) and given_ids.dtype == torch.int64
    assert given_shift.shape == (2, 4) and given_shift.dtype == torch.float32
    half = wrap(several(), interface=Interface(inputs=GIVEN), dtype="bfloat16")
    assert half.forward(x, ["output"])["output"].dtype == torch.bfloat16


@pytest.mark.parametrize("kind", [tuple, dict])
def test_a_function_makes_all_arguments(kind: type) -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 4, 1)

        def forward(self, x: Any, mirrored: Any) -> Any:
            return self.a(x - mirrored).mean((2, 3))

    def both(x: Any) -> Any:
        return (x, x.flip(3)) if kind is tuple else {"mirrored": x.flip(3), "x": x}

    torch.manual_seed(0)
    model, x = Pair().eval(), images()
    network = wrap(model, interface=Interface(inputs=both))
    native = x.permute(0, 3, 1, 2)
    torch.testing.assert_close(network.forward(x, ["output"])["output"], model(native, native.flip(3)))
    with pytest.raises(InvalidParameter, match="inputs: expected a function that returns a tuple or a mapping"):
        wrap(model, interface=Interface(inputs=lambda x: 3))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ModelFailed, match=r"'pixels' and 'shift' were not given.*inputs=\{\"pixels\": \.\.\., "):
        wrap(several())
    with pytest.raises(ModelFailed, match="more than images: 'shift' was not given"):
        wrap(several(), interface=Interface(inputs={"ids": GIVEN["ids"]}))
    with pytest.raises(
        InvalidParameter, match=r"inputs\['words'\]: expected an argument of Several, which takes ids, p"
    ):
        wrap(several(), interface=Interface(inputs={"words": 1}))
    with pytest.raises(InvalidParameter, match="all arguments except the one for the images"):
        wrap(several(), interface=Interface(inputs={**GIVEN, "pixels": 1}))
    with pytest.raises(ModelFailed, match="Arrays in inputs are for one image, without a batch axis"):
        wrap(several(), interface=Interface(inputs={**GIVEN, "shift": torch.ones(1, 3)}))


def test_a_model_that_can_do_without_says_what_it_takes() -> None:
    class Optional(nn.Module):
        def forward(self, ids: Any = None, pixels: Any = None) -> Any:
            if pixels is None:
                raise ValueError("no pixels")
            return pixels.mean((2, 3))

    with pytest.raises(ModelFailed, match=r"no pixels.* It takes ids, pixels: .* inputs=\{\.\.\.\}"):
        wrap(Optional().eval())
    with pytest.warns(ModelWarning, match="no submodules"):
        network = wrap(Optional().eval(), interface=Interface(inputs={"ids": None}))
    assert network.layers["output"].shape == (3,)


Named = namedtuple("Named", "features scores")


@dataclass
class Held:
    features: Any
    scores: Any


TWO = {
    "mapping": lambda f, y: {"features": f, "scores": y},
    "ordered": lambda f, y: OrderedDict(features=f, scores=y),
    "named": Named,
    "dataclass": Held,
    "tuple": lambda f, y: (f, y),
    "list": lambda f, y: [f, y],
    "object": lambda f, y: SimpleNamespace(features=f, scores=y),
}


@pytest.mark.parametrize("kind", TWO)
def test_an_output_can_be_stated(kind: str) -> None:
    model, x = returns(TWO[kind]), images()
    logits = model.b(model.a(x.permute(0, 3, 1, 2)).mean((2, 3)))
    ways: list[Any] = [] if kind in ("tuple", "list") else ["scores"]
    ways += [] if kind == "object" else [1, -1]
    ways += [lambda y: y.scores if hasattr(y, "scores") else y[1 if isinstance(y, (tuple, list)) else "scores"]]
    for stated in ways:
        network = wrap(model, interface=Interface(output=stated))
        torch.testing.assert_close(network.forward(x, ["output"])["output"], logits)
        edited = network.forward(x, ["output"], edit={"output": lambda xp, a: a * 2})["output"]
        torch.testing.assert_close(edited, logits * 2)


def test_an_output_that_does_not_exist_is_answered_with_what_there_is() -> None:
    model = returns(TWO["mapping"])
    for stated in ("logits", 7, "items"):
        with pytest.raises(
            InvalidParameter, match=r"output: .*The model returns a dict with the tensors features, scores"
        ):
            wrap(model, interface=Interface(output=stated))
    with pytest.raises(InvalidParameter, match=r"one that returned a dict.* with the tensors features, scores"):
        wrap(model, interface=Interface(output=lambda y: y))
    for lost in (lambda y: y["scores"].mean(), lambda y: y["scores"].sum(0)):
        with pytest.raises(InvalidParameter, match=r"output: expected a tensor with \d rows? \(one per image\)"):
            wrap(model, interface=Interface(output=lost))


def test_one_number_an_image_is_an_output() -> None:
    network = wrap(returns(TWO["mapping"]), interface=Interface(output=lambda y: y["scores"].amax(1)))
    assert network.layers["output"].shape == (1,)
    read = network.forward(images(), ["b", "output"])
    torch.testing.assert_close(read["output"][:, 0], read["b"].amax(1))


def test_the_warning_names_what_there_is_and_is_not_repeated() -> None:
    with pytest.warns(ModelWarning, match=r"the tensors features, scores: .*ph.wrap\(\.\.\., output=") as seen:
        network = wrap(returns(TWO["named"]))
    assert len(seen) == 1
    assert network.shapes((4, 4))["a"] == (4, 4, 4)


@pytest.mark.parametrize(
    "output",
    [
        lambda f, y: {"out": y, "aux": y + 1},
        lambda f, y: namedtuple("GoogLeNetOutputs", "logits aux_logits2 aux_logits1")(y, f, f),
        lambda f, y: SimpleNamespace(logits=y, hidden=f),
        lambda f, y: {"loss": None, "y": y, "count": torch.arange(2)},
    ],
)
def test_outputs_that_are_plain(output: Any) -> None:
    model, x = returns(output), images()
    read = wrap(model).forward(x, ["b", "output"])
    torch.testing.assert_close(read["output"], read["b"])


@pytest.mark.parametrize("kind", [*TWO, "logits", "structure"])
def test_a_module_that_returns_more_is_edited_in_place_of_its_tensor(kind: str) -> None:
    f, y, new = torch.ones(2, 3), torch.zeros(2, 5), torch.full((2, 3), 7.0)
    if kind == "object":
        assert main_tensor(TWO[kind](f, y)) is None
        return
    if kind == "structure":
        made: Any = torch.max(f, 1)
        assert torch.equal(replace_main(made, new)[0], new)
        return
    made = SimpleNamespace(logits=f, features=y) if kind == "logits" else TWO[kind](f, y)
    changed = replace_main(made, new)
    assert type(changed) is type(made)
    assert main_tensor(changed) is new and main_tensor(made) is f


def test_an_output_of_hugging_face_stays_what_it_is() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    hidden, pooled, new = torch.ones(2, 3, 4), torch.ones(2, 4), torch.zeros(2, 3, 4)
    made = outputs.BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled, attentions=(hidden,))
    changed = replace_main(made, new)
    assert type(changed) is type(made)
    assert changed.last_hidden_state is new and changed["last_hidden_state"] is new and changed[0] is new
    assert changed.pooler_output is pooled and changed.attentions == (hidden,) and changed.hidden_states is None
    assert made.last_hidden_state is hidden


def test_half_precision_that_the_cpu_does_not_have_is_explained() -> None:
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.LocalResponseNorm(2)

        def forward(self, x: Any) -> Any:
            return self.norm(self.conv(x)).mean((2, 3))

    for model, options in ((Normalised().eval().half(), {}), (Normalised().eval(), {"dtype": "float16"})):
        with pytest.raises(ModelFailed, match=r"in float16: .*Half.*dtype=\"float32\" \(or \"bfloat16\"\)"):
            wrap(model, **options)
        with pytest.raises(ModelFailed, match=r"in bfloat16: .*BFloat16.*dtype=\"float32\"\."):
            wrap(model, dtype="bfloat16")
        assert wrap(model, dtype="float32").layers["output"].shape == (4,)


def test_a_module_that_did_not_run_is_known_to_exist() -> None:
    network = wrap(mixed())
    with pytest.raises(UnknownLayer, match="has a module of that name, but it did not run"):
        network.forward(images(), ["never"])
    with pytest.raises(UnknownLayer) as caught:
        network.forward(images(), ["nevr"])
    assert "did not run" not in str(caught.value)
