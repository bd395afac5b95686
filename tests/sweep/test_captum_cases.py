"""The cases of captum's own tests, put to phosphene: the same models, inputs and targets, and the values that captum computes.

captum declares its test cases as a table (`captum.testing.attr.helpers.test_config`, captum 0.9). Each method of it that phosphene
has too is tried on each case. Models are unchanged: vectors are laid side by side as the pixels of an image of one row, and a
function of the images (`inputs`) takes them apart again.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import phosphene as ph

captum_cases = pytest.importorskip("captum.testing.attr.helpers.test_config", reason="captum is not installed")
algorithms = pytest.importorskip("captum.attr")
models = pytest.importorskip("captum.testing.helpers.basic_models")
classifiers = pytest.importorskip("captum.testing.helpers.classification_models")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

WITHOUT_LAYER = {
    "Saliency": "gradient",
    "InputXGradient": "gradient_x_input",
    "GuidedBackprop": "guided_backprop",
    "Deconvolution": "deconvnet",
    "IntegratedGradients": "integrated_gradients",
    "FeatureAblation": "occlusion",
    "Occlusion": "occlusion",
}
OF_NEURONS = {
    "NeuronGradient": "gradient",
    "NeuronGuidedBackprop": "guided_backprop",
    "NeuronDeconvolution": "deconvnet",
    "NeuronIntegratedGradients": "integrated_gradients",
}
OF_LAYERS = {"LayerGradCam": "gradcam", "GuidedGradCam": "guided_gradcam", "LayerGradientXActivation": "hirescam"}
"""captum's methods and ours. captum's gradient times activation is per channel; ours (HiResCAM) is its sum over channels."""

BASELINE_STEPS = 50
"""captum's default number of steps of integrated gradients, by Gauss-Legendre quadrature as ours."""


@dataclass(frozen=True)
class Put:
    """A case of captum as an image network.

    Attributes
    ----------
    network : Network
    images : (N, H, W, 1)
    low, high : float
        Values of the inputs that are 0 and 1 in an image.
    wide : list of (int, int)
        Columns of each input that is attributed.
    """

    network: Any
    images: Any
    low: float
    high: float
    wide: list[tuple[int, int]]
    flat: bool

    def baseline(self, index: int, given: Any = None) -> Any:
        """The baseline of one image: what captum was given, or zero, and the image itself where nothing is attributed."""
        zero = (0 - self.low) / (self.high - self.low)
        if not self.flat:
            return zero
        image = self.images[index].astype(np.float64)
        for start, stop in self.wide:
            own = zero if given is None else (given[index].numpy() - self.low) / (self.high - self.low)
            image[0, start:stop, 0] = np.clip(own, 0, 1)
        return image

    def columns(self, maps: Any) -> list[Any]:
        """The parts of maps (N, H, W, 1) in the shapes of captum's inputs."""
        if not self.flat:
            return [np.moveaxis(maps, -1, 1)]
        return [maps[:, 0, start:stop, 0] for start, stop in self.wide]


def put(case: dict[str, Any], more: Any = ()) -> Put:
    """Lay the inputs of a case out as images and wrap its model."""
    given = case["attribute_args"]
    inputs = given["inputs"] if isinstance(given["inputs"], tuple) else (given["inputs"],)
    extra = given.get("additional_forward_args", ())
    extra = extra if isinstance(extra, tuple) else (extra,)
    flat = inputs[0].ndim == 2
    tensors = [*inputs, *(item for item in extra if isinstance(item, torch.Tensor))]
    values = [*tensors, *(item for item in (more if isinstance(more, tuple) else (more,)) if hasattr(item, "min"))]
    low = min(0.0, *(float(item.min()) for item in values))
    high = max(1.0, *(float(item.max()) for item in values))
    whole = torch.cat(tensors, dim=1).detach()[:, None, :, None] if flat else inputs[0].detach().permute(0, 2, 3, 1)
    ends = np.cumsum([item.shape[1] for item in tensors])
    parts = [(int(end) - item.shape[1], int(end)) for end, item in zip(ends, tensors, strict=True)]

    def arguments(x: torch.Tensor) -> tuple[Any, ...]:
        if not flat:
            return (x, *extra)
        rows = [x[:, 0, 0, start:stop] for start, stop in parts]
        rest = iter(rows[len(inputs) :])
        return (*rows[: len(inputs)], *(next(rest) if isinstance(item, torch.Tensor) else item for item in extra))

    images = ((whole.double() - low) / (high - low)).numpy()
    network = ph.wrap(
        case["model"],
        size=(images.shape[1], images.shape[2]),
        channels=1,
        range=(low, high),
        inputs=arguments,
        dtype="float64",
    )
    return Put(network, images.astype(np.float32), low, high, parts[: len(inputs)], flat)


def targets(case: dict[str, Any], count: int) -> list[Any]:
    """The targets as ours: a class per image, or a place in an output of several axes."""
    target = case["attribute_args"].get("target")
    if target is None:
        return [0] * count
    found = target.tolist() if isinstance(target, torch.Tensor) else target
    found = [found] * count if isinstance(found, (int, tuple)) else list(found)
    found = found * count if len(found) == 1 else found
    return [objective_at("output", item) if isinstance(item, tuple) else int(item) for item in found]


def objective_at(layer: str, place: Any) -> Any:
    """The value at a place, in captum's order of axes (channels first), of a layer whose channels are last."""
    place = place if isinstance(place, tuple) else (place,)

    def value(xp: Any, seen: Any) -> Any:
        chosen = seen[layer][(slice(None), *place[1:], place[0])]
        return xp.sum(xp.reshape(chosen, (chosen.shape[0], -1)), axis=1) if chosen.ndim > 1 else chosen

    return ph.objective(value)


def expected(case: dict[str, Any], algorithm: Any) -> list[Any]:
    """What captum computes in double precision, as a list of arrays."""
    given = {name: wide(value) for name, value in case["attribute_args"].items()}
    model = copy.deepcopy(case["model"]).double()
    arguments = (model,)
    if algorithm.__name__ in {**OF_LAYERS, **OF_NEURONS}:
        arguments = (model, model.get_submodule(case["layer"]))
    known = inspect.signature(algorithm.attribute).parameters
    if (
        "interpolate_mode" in known
    ):  # as its paper has it (Selvaraju et al. 2017); captum repeats the nearest value by default
        given["interpolate_mode"] = "bilinear"
    found = algorithm(*arguments).attribute(**{key: value for key, value in given.items() if key in known})
    return [part.detach().numpy() for part in (found if isinstance(found, tuple) else (found,))]


def wide(value: Any) -> Any:
    """Floating tensors in double precision."""
    if isinstance(value, tuple):
        return tuple(wide(item) for item in value)
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def pixels(case: dict[str, Any], algorithm: Any) -> None:
    """Attributions of the input."""
    baselines = case["attribute_args"].get("baselines")
    shown = put(case, baselines)
    wanted = expected(case, algorithm)
    method = {**WITHOUT_LAYER, **OF_NEURONS}[algorithm.__name__]
    selector = case["attribute_args"].get("neuron_selector")
    if selector is None:
        chosen = targets(case, len(shown.images))
    elif callable(selector):
        chosen = [ph.objective(lambda xp, seen: selector(seen[case["layer"]]))] * len(shown.images)
    else:
        chosen = [objective_at(case["layer"], selector)] * len(shown.images)
    options: dict[str, Any] = {}
    if method == "integrated_gradients":
        options["steps"] = BASELINE_STEPS
    if method == "occlusion":
        options |= {"window": (1, 1), "stride": (1, 1)}
        window = case["attribute_args"].get("sliding_window_shapes")
        if window is not None:
            options["window"] = tuple(window[1:]) if len(window) == 3 else (1, window[0])
    raws = []
    for index, target in enumerate(chosen):
        picked = dict(options)
        if method in ("gradient_x_input", "integrated_gradients", "occlusion"):
            picked["baseline"] = shown.baseline(index, baselines)
        found = ph.attribute(shown.network, shown.images[index : index + 1], target, method=method, **picked)
        raw = found.raw if method != "occlusion" else found.maps[..., None] * np.abs(found.raw).max()
        raws.append(raw if raw.ndim == 4 else raw[..., None])
    raw = np.concatenate(raws)
    if method in ("gradient", "guided_backprop", "deconvnet"):
        raw = raw / (shown.high - shown.low)
    if algorithm.__name__ == "Saliency":
        raw = np.abs(raw)
    agree(shown.columns(raw), wanted)


def layers(case: dict[str, Any], algorithm: Any) -> None:
    """Class activation maps."""
    shown, wanted = put(case), expected(case, algorithm)
    method = OF_LAYERS[algorithm.__name__]
    chosen = targets(case, len(shown.images))
    path, found = case["layer"], []
    several = [path, *(f"{path}[{index}]" for index in range(1, len(wanted)))] if method != "guided_gradcam" else [path]
    for one in several:
        raws = [
            ph.attribute(shown.network, shown.images[index : index + 1], target, method=method, layer=one).raw
            for index, target in enumerate(chosen)
        ]
        found.append(np.concatenate(raws))
    if method == "guided_gradcam":
        agree(shown.columns(found[0] / (shown.high - shown.low)), wanted)
    elif method == "hirescam":
        agree(found, [part.sum(axis=1) for part in wanted])
    else:
        agree(found, [part[:, 0] for part in wanted])


def activations(case: dict[str, Any], algorithm: Any) -> None:
    """Activations of layers."""
    shown = put(case)
    for path in case["layer"]:
        module = case["model"].get_submodule(path)
        wanted = algorithm(case["model"], module).attribute(case["attribute_args"]["inputs"])
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        paths = [path, *(f"{path}[{index}]" for index in range(1, len(wanted)))]
        found = ph.activations(shown.network, shown.images, paths)
        agree([found[one] for one in paths], [part.detach().numpy() for part in wanted])


def agree(found: list[Any], wanted: list[Any]) -> None:
    assert len(found) >= len(wanted)
    for ours, theirs in zip(found, wanted, strict=False):
        assert np.asarray(ours).shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * max(1e-12, float(np.abs(theirs).max())) + 1e-7)


def of_single_tests() -> list[dict[str, Any]]:
    """Cases in the words of captum's table, of models and inputs that only its single tests use (tests/attr of captum)."""
    ramp = torch.arange(16.0).view(1, 1, 4, 4)
    vectors = [getattr(algorithms, name) for name in WITHOUT_LAYER if name != "Occlusion"]
    maps = [*vectors, *(getattr(algorithms, name) for name in OF_LAYERS)]
    torch.manual_seed(6)  # whose units behind the last ReLU are active on some images
    reused, twice = models.BasicModelWithReusedModules(), models.BasicModelWithReusedLinear()

    def case(
        model: torch.nn.Module, inputs: Any, layer: str | None = None, target: int = 0, **more: Any
    ) -> dict[str, Any]:
        name = f"{type(model).__name__}_{layer}" if layer else type(model).__name__
        chosen = vectors if layer is None else maps
        given = {"inputs": inputs, "target": target, **more}
        return {"name": name, "algorithms": chosen, "model": model, "layer": layer, "attribute_args": given}

    vector = torch.tensor([[20.0, 50.0, 30.0]])
    return [
        case(models.BasicModel_ConvNet_One_Conv(), ramp, "conv1"),
        case(models.BasicModel_ConvNet_One_Conv(), ramp, "relu1"),
        case(models.BasicModel_ConvNet_One_Conv(inplace=True), ramp, "conv1"),
        case(models.BasicModel_ConvNet_One_Conv(), 100 * torch.randn(2, 1, 4, 4), "relu1", 3),
        case(models.BasicModel_ConvNetWithPaddingDilation(), 5 * torch.randn(2, 1, 5, 5), "conv1", 5),
        case(models.BasicModel_ConvNet(), 20 * torch.randn(2, 1, 10, 10), "relu2", 2),
        case(models.BasicModel_MultiLayer(), vector),
        case(models.ReLULinearModel(), (torch.randn(2, 3), torch.randn(2, 3))),
        case(reused, torch.randn(3, 3), target=1),
        case(twice, torch.randn(3, 3), target=1),
        case(models.BasicLinearReLULinear(5), torch.randn(3, 5)),
        case(models.LinearMaxPoolLinearModel(), torch.tensor([[3.0, 1.0, 4.0, 2.0]])),
        case(models.BasicLinearModel(), (torch.randn(2, 3), torch.randn(2, 4))),
        case(models.BasicLinearModel_Multilayer(6, 2, 3), torch.randn(2, 6), target=1),
        case(classifiers.SoftmaxModel(5, 20, 10), torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0]]), target=5),
        case(classifiers.SigmoidModel(6, 3, 2), torch.randn(2, 6), target=1),
    ]


def cases() -> list[Any]:
    """Each case of captum's table with each of its methods that phosphene has."""
    routes: dict[str, Callable[..., None]] = {
        **dict.fromkeys(WITHOUT_LAYER, pixels),
        **dict.fromkeys(OF_NEURONS, pixels),
        **dict.fromkeys(OF_LAYERS, layers),
        "LayerActivation": activations,
    }
    found = []
    for case in [*captum_cases.config, *of_single_tests()]:
        given, layer = case["attribute_args"], case.get("layer")
        inputs = given["inputs"] if isinstance(given["inputs"], tuple) else (given["inputs"],)
        windows = given.get("sliding_window_shapes", ())
        if case.get("noise_tunnel") or (isinstance(layer, list) and "activation" not in case["name"]):
            continue  # the mean over noise of size 0 is the method itself; several layers of one call are one each
        if any(isinstance(window, tuple) for window in windows):
            continue  # windows of another size in each input
        for algorithm in case["algorithms"]:
            if algorithm.__name__ in OF_LAYERS and inputs[0].ndim == 2:
                continue  # a class activation map needs positions: on vectors it is refused
            if algorithm.__name__ in routes:
                name = f"{case['name']}-{algorithm.__name__}"
                found.append(pytest.param(routes[algorithm.__name__], case, algorithm, id=name))
    return found


@pytest.mark.parametrize(("route", "case", "algorithm"), cases())
def test_as_captum_computes_it(route: Callable[..., None], case: dict[str, Any], algorithm: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        route(case, algorithm)
