"""Try an architecture: wrap, read, render, attribute, crop; and compare with what hooks of the suite's own see."""

from __future__ import annotations

import contextlib
import copy
import re
import signal
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType, ModuleType
from typing import Any

import numpy as np

import phosphene as ph
from phosphene.backend import native
from phosphene.errors import ModelFailed
from phosphene.layers import OUTPUT
from sweep import jax_truth, torch_truth
from sweep.architectures import Architecture
from sweep.outcomes import Outcome
from sweep.truth import Seen, differs

__all__ = ["LIMIT", "tried"]

LIMIT = 120
"""Seconds of the processor for one architecture."""

MEAN, STD = 0.45, 0.25
STEPS = 4

KINDS = {
    "axis": "channel axis",
    "output": "part that is the output is ambiguous",
    "mode": "training mode",
    "finite": "NaN|infinit|not finite",
    "flat": "one position|flat|same everywhere",
    "rule": "no nonlinearity|reached no|0 of ",
    "dead": "dead",
    "random": "random numbers",
    "batch": "other images of its batch",
    "unread": "not read|could not be read|cannot be read",
}
"""Kinds of warnings, and words by which each is known."""


class TooSlow(BaseException):
    """The time of an architecture is over; not an `Exception`, so that nothing on the way takes it for its own."""


def tried(architecture: Architecture, limit: int = LIMIT) -> Outcome:
    """Return what came of an architecture. It never raises, and it ends after `limit` seconds."""
    outcome = Outcome(
        architecture.source, architecture.family, architecture.name, architecture.size, architecture.quick
    )
    start = time.process_time()
    try:
        with _limited(limit):
            _Trial(architecture, outcome).run()
    except TooSlow:
        outcome.add("timeout", "all", f"more than {limit} s")
    outcome.seconds = round(time.process_time() - start, 1)
    return outcome


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    # Time of the processor, so that a busy machine changes no outcome.
    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Wrong(Exception):
    """Something came out that is not true."""


class _Trial:
    """The parts of a trial, each of which may fail without the others."""

    def __init__(self, architecture: Architecture, outcome: Outcome) -> None:
        self.architecture, self.outcome = architecture, outcome
        self.truth: ModuleType = jax_truth if architecture.source in ("jax", "equinox") else torch_truth
        self.size = architecture.size
        self.image = _picture(self.size)
        self.said: Counter[str] = Counter()
        self.finite = True
        self.target: Any = None

    def run(self) -> None:
        """Run all parts."""
        with self.part("make"):
            self.model = self.architecture.make()
        if not hasattr(self, "model"):
            return
        plain: dict[str, Seen] = {}
        failure: Exception | None = None
        try:
            plain = self.truth.plain_run(
                self.model, (self.image - MEAN) / STD, self.architecture.wrapping.get("inputs")
            )
        except Exception as error:  # noqa: BLE001 - then phosphene may fail on it, too
            failure = error
        if self.truth is jax_truth and "mixer" in self.architecture.name:
            # What sums over tokens leaves the channels where they were, whatever the class of the module says.
            plain = {path: replace(seen, axis=None) for path, seen in plain.items()}
        self.finite = all(np.isfinite(seen.value).all() for seen in plain.values())
        # Only now: some models of transformers put hooks of their own on themselves when they are first run.
        before = self.truth.state(self.model)
        network = None
        with self.part("wrap", runs=failure is None):
            network = self.wrapped()
        if network is None:
            return
        self.outcome.layers = len(network.layers)
        with self.part("values"):
            try:
                self.values(network, plain)
            except Wrong as error:
                if "shape" in str(error) or self.truth is jax_truth:
                    raise
                # Where sharp attention magnifies the rounding of another memory layout, double precision tells.
                self.values_in_double()
        self.target = 0 if OUTPUT in network.layers else _last(network)
        with self.part("render middle"):
            self.render(network, 0.5)
        with self.part("render late"):
            self.render(network, 0.85)
        wide = None
        with self.part("float64"):
            wide = self.wide(network)
        gradient = None
        with self.part("gradient"):
            gradient = self.gradient(network, wide)
        with self.part("gradcam"):
            self.gradcam(network)
        with self.part("gradcam by layer"):
            self.gradcam_by_layer(network)
        with self.part("guided"):
            self.guided(network, gradient)
        if wide is not None:
            with self.part("crop"):
                self.crop(wide)
        with self.part("left as found"):
            changed = [x for x, y in zip(self.truth.state(self.model), before, strict=False) if x != y]
            if changed:
                raise Wrong(f"the model was changed: {str(changed[0])[:120]}")
        self.outcome.warnings = " ".join(f"{kind}:{count}" for kind, count in sorted(self.said.items()))

    @contextlib.contextmanager
    def part(self, name: str, *, runs: bool = False) -> Iterator[None]:
        """A context of a part, whose exceptions and warnings are noted."""
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", ph.PhospheneWarning)
                yield
        except Wrong as error:
            self.outcome.add("wrong", name, str(error))
        except ModelFailed as error:
            blamed = "the model is said to fail, and it runs: " if runs else ""
            self.outcome.add("wrong" if runs else "named error", name, f"{blamed}{error}")
        except ph.PhospheneError as error:
            self.outcome.add("named error", name, f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 - what the sweep is for
            self.outcome.add("raw exception", name, f"{type(error).__name__}: {error} {_place(error)}")
        for kind in (_kind(str(item.message)) for item in said):
            self.said[kind] += 1
            self.outcome.add("warned", name, kind)

    def wrapped(self, **given: Any) -> ph.Network:
        return ph.wrap(self.model, size=self.size, mean=MEAN, std=STD, **self.architecture.wrapping, **given)

    def values_in_double(self) -> None:
        """The same on a copy of the model in double precision."""
        model, single = copy.deepcopy(self.model).double(), self.model
        image = (self.image.astype(np.float64) - MEAN) / STD
        plain = torch_truth.plain_run(model, image, self.architecture.wrapping.get("inputs"))
        self.model = model
        try:
            self.values(self.wrapped(), plain)
        finally:
            self.model = single

    def values(self, network: ph.Network, plain: dict[str, Seen]) -> None:
        """Every layer has the shape it says, and is what the module returned."""
        # Different layers may need different calls, since those that depend on the image are refused together.
        paths = [path for path, layer in network.layers.items() if layer.kind != "Attention"]
        read = ph.activations(network, self.image, paths)
        bad, equal = [], 0
        for path in paths:
            value, layer = read[path], network.layers[path]
            seen = plain.get(path) or plain.get(f"{path}[0]")
            wrong = "" if seen is None else differs(value, seen, layer.windows)
            # As many boxes or key points as an image has: their number may be another than that of a grey image.
            varies = path.startswith(f"{OUTPUT}[") and seen is None
            if value.shape[1:] != layer.shape and (wrong or seen is None) and not varies:
                bad.append(f"{path} ({layer.kind}): shape {value.shape[1:]}, said to be {layer.shape}")
                continue
            if seen is None:
                continue
            if wrong:
                bad.append(f"{path} ({layer.kind}): {wrong}")
            else:
                equal += 1
        self.outcome.compared = equal
        if bad:
            raise Wrong(f"{len(bad)} of {len(paths)} layers: {'; '.join(bad[:3])}")
        missing = sum(1 for path, seen in plain.items() if seen.axis is not None and path not in network.layers)
        if missing:
            self.said["missing layer"] += missing

    def render(self, network: ph.Network, share: float) -> None:
        """A few steps at a layer with positions."""
        layers = [layer for layer in network.layers.values() if layer.kind != "Attention" and layer.path != OUTPUT]
        named = [layer for layer in layers if re.search("Conv|Linear|Norm|Dense", layer.kind) and layer.spatial]
        choice = named or layers or list(network.layers.values())
        target = ph.channel(choice[min(int(share * len(choice)), len(choice) - 1)].path, 0)
        rendered = ph.render(network, target, steps=STEPS, progress=False)
        images = rendered.images
        if images.shape != (1, self.size, self.size, 3) or not np.isfinite(images).all() or np.ptp(images) == 0:
            raise Wrong(f"a picture of shape {images.shape} between {images.min()} and {images.max()}")
        if images.min() < 0 or images.max() > 1 or not np.isfinite(rendered.values).all():
            raise Wrong(f"a picture between {images.min()} and {images.max()} of value {rendered.values}")

    def wide(self, network: ph.Network) -> ph.Network | None:
        """The network in float64, if its model can compute in it."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.wrapped(dtype="float64")
        except ModelFailed:
            return None

    def gradient(self, network: ph.Network, wide: ph.Network | None) -> Any:
        """The gradient is not zero, and in float64 it is the slope of the target along itself."""
        found = ph.attribute(network, self.image, self.target, method="gradient").raw
        if not self.finite and not np.isfinite(found).all():
            return found  # as the model itself, which phosphene warns of
        if not np.isfinite(found).all() or not found.any():
            raise Wrong("a gradient that is not finite" if found.any() else "a gradient of zeros")
        if wide is None or OUTPUT not in wide.layers or wide.findings.random:
            return found
        exact = ph.attribute(wide, self.image, self.target, method="gradient").raw.astype(np.float64)
        length = np.sqrt((exact**2).sum())
        slopes = []
        for step in (1e-6, 1e-5, 1e-7):
            slopes.append(self.slope(wide, exact / length, step))
            if abs(slopes[-1] - length) <= 1e-2 * length:
                return found
        # The slope over a jump, as where a model keeps its best candidates, is the larger, the smaller the step.
        if abs(slopes[2]) > 5 * abs(slopes[1]):
            return found
        given = self.architecture.wrapping.get("inputs")
        own = self.truth.plain_slope(self.model, (self.image.astype(np.float64) - MEAN) / STD, given)
        if own is None or abs(own / STD - length) > 1e-3 * length:
            raise Wrong(f"a gradient of length {length:.4g}, and the slope along it is {slopes[0]:.4g}")
        return found

    def slope(self, network: ph.Network, way: Any, step: float) -> float:
        """The change of the target, per unit of length, when the image is moved along `way`."""
        with network.scope():
            above, below = (
                network.backend.to_numpy(network.forward(native(network, self.image + size * way), [OUTPUT])[OUTPUT])
                for size in (step, -step)
            )
        return float(above[..., 0].mean() - below[..., 0].mean()) / (2 * step)

    def gradcam(self, network: ph.Network) -> None:
        """Grad-CAM by default has more than one position and is not flat, or a warning says so."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = ph.attribute(network, self.image, self.target)
        warned = [item for item in said if issubclass(item.category, ph.PhospheneWarning)]
        for item in warned:
            self.said[_kind(str(item.message))] += 1
            self.outcome.add("warned", "gradcam", _kind(str(item.message)))
        raw = found.raw[0]
        shape = " x ".join(map(str, raw.shape))
        self.outcome.cam = f"{found.layer} {shape.replace(' ', '')}"
        if found.layer == OUTPUT:
            raise Wrong("the layer of Grad-CAM is the output")
        if not np.isfinite(raw).all():
            if not self.finite:
                return
            raise Wrong("a map that is not finite")
        if not warned and (raw.size == 1 or np.ptp(raw) == 0):
            raise Wrong(f"a flat map of {shape} at {found.layer}, without a warning")
        again = ph.attribute(network, self.image, self.target, layer=found.layer)
        if not np.allclose(again.raw, found.raw, rtol=1e-4, atol=1e-6 * np.abs(found.raw).max()):
            raise Wrong(f"another map for layer={found.layer!r} than for the default, which is that layer")

    def gradcam_by_layer(self, network: ph.Network) -> None:
        """Grad-CAM at a convolution, or at patches, in the middle."""
        grids = [
            layer for layer in network.layers.values() if layer.axes[:2] == ("row", "column") and "Conv" in layer.kind
        ]
        patches = [layer for layer in network.layers.values() if layer.axes == ("token", "channel") and layer.tokens]
        choice = [layer for layer in grids if min(layer.shape[:2]) > 1] or patches
        if not choice:
            return
        layer = choice[len(choice) // 2]
        found = ph.attribute(network, self.image, self.target, layer=layer.path)
        grid = layer.shape[:2] if layer.tokens is None else layer.tokens.grid
        if (
            found.layer != layer.path
            or found.raw.shape[1:] != tuple(grid)
            or (self.finite and not np.isfinite(found.raw).all())
        ):
            raise Wrong(f"a map of {found.raw.shape[1:]} at {found.layer}, asked for {layer.path} of {grid}")

    def guided(self, network: ph.Network, gradient: Any) -> None:
        """Guided backpropagation says what it reached, and is not the plain gradient without a warning."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = ph.attribute(network, self.image, self.target, method="guided_backprop")
        warned = [item for item in said if issubclass(item.category, ph.PhospheneWarning)]
        for item in warned:
            self.said[_kind(str(item.message))] += 1
            self.outcome.add("warned", "guided", _kind(str(item.message)))
        self.outcome.guided = found.coverage.removeprefix("guided: ").replace(" nonlinearities", "")
        same = gradient is not None and np.allclose(found.raw, gradient, rtol=1e-4, atol=1e-6 * np.abs(gradient).max())
        if same and not warned:
            raise Wrong(f"guided backpropagation is the plain gradient, without a warning ({found.coverage})")

    def crop(self, wide: ph.Network) -> None:
        """A unit's picture from the window around its receptive field is that from the whole image."""
        grids = [
            layer for layer in wide.layers.values() if layer.axes[:2] == ("row", "column") and "Conv" in layer.kind
        ]
        grids = [layer for layer in grids if min(layer.shape[:2]) >= 8]
        if not grids:
            return
        target = ph.neuron(grids[len(grids) // 3].path, 0)
        part, whole = (
            ph.render(wide, target, crop=crop, transforms=[], steps=3, progress=False) for crop in (True, False)
        )
        self.outcome.crop = "whole" if part.settings["seen"] == whole.settings["seen"] else "equal"
        if not np.allclose(part.images, whole.images, atol=1e-6):
            raise Wrong(f"crop at {target}: pictures differ by {np.abs(part.images - whole.images).max():.2g}")
        if not np.allclose(part.values, whole.values, rtol=1e-6, atol=1e-9):
            raise Wrong(f"crop at {target}: values {part.values} and {whole.values}")


def _picture(size: int) -> Any:
    """A smooth image in [0, 1], (1, size, size, 3) float32."""
    rows, columns = np.mgrid[:size, :size] / size
    waves = [np.sin(7 * rows + 3 * columns), np.cos(5 * rows * columns + 1), np.sin(9 * (rows - columns))]
    noise = np.random.default_rng(0).random((size, size, 3))
    return (0.5 + 0.3 * np.stack(waves, axis=-1) + 0.2 * (noise - 0.5))[None].clip(0, 1).astype(np.float32)


def _last(network: ph.Network) -> Any:
    """A target for a network without an output: its last layer with channels."""
    layers = [layer for layer in network.layers.values() if layer.kind != "Attention"]
    return ph.channel((layers or list(network.layers.values()))[-1].path, 0)


def _kind(message: str) -> str:
    return next((kind for kind, words in KINDS.items() if re.search(words, message)), "other")


def _place(error: Exception) -> str:
    """Where an exception was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    code = trace.tb_frame.f_code
    return f"({code.co_filename.rpartition('/')[2]}, line {trace.tb_lineno})"
