"""Two networks compared layer by layer: what is measured, and which layer is blamed."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from chains import IMAGES, SIZE, STEPS, Step, chain, double, shift, with_fault
from phosphene import errors
from phosphene.backend import Network
from phosphene.port_parity import parity
from phosphene.port_parity.differences import Difference
from small_models import small_network


def test_the_measures_are_those_of_their_definitions() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.standard_normal((7, 4)), generator.standard_normal((7, 4))
    whole, parts = Difference(), Difference()
    whole.add(a, b)
    for rows in (slice(0, 3), slice(3, 7)):
        parts.add(a[rows], b[rows])
    assert whole.relative == pytest.approx(np.abs(a - b).max() / np.abs(a).max(), rel=1e-12)
    assert whole.mean == pytest.approx(np.abs(a - b).mean() / np.abs(a).mean(), rel=1e-12)
    assert whole.cosine == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-12)
    for name in ("relative", "mean", "cosine"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "relative", "nonfinite"),
    [
        ([0.0, 0.0], [0.0, 0.0], 0.0, (0, 0)),
        ([0.0, 0.0], [0.0, 1.0], math.inf, (0, 0)),
        ([1.0, np.nan], [1.0, np.nan], 0.0, (1, 1)),
        ([1.0, -np.inf], [1.5, -np.inf], 0.5, (1, 1)),
        ([1.0, np.inf], [1.0, -np.inf], math.inf, (1, 1)),
        ([1.0, 2.0], [1.0, np.nan], math.inf, (0, 1)),
        ([np.nan, np.nan], [np.nan, np.nan], math.nan, (2, 2)),
        ([1.0, 2.0], [1.0, 2.0, 3.0], math.inf, (0, 0)),
    ],
)
def test_zeros_and_what_is_not_finite(
    a: list[float], b: list[float], relative: float, nonfinite: tuple[int, int]
) -> None:
    difference = Difference()
    difference.add(np.asarray(a), np.asarray(b))
    assert difference.relative == pytest.approx(relative, nan_ok=True)
    assert (difference.nonfinite_a, difference.nonfinite_b) == nonfinite


def test_a_network_equals_itself(backend: str) -> None:
    network = ph.wrap(small_network(backend), size=16)
    images = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)
    before = network.fingerprint()
    found = parity(network, network, images)
    assert found.equal and found.parted is None and found.faults == () and found.unmatched == ()
    assert {row.a for row in found.rows} == set(network.layers)
    assert all(row.relative == 0 and row.cosine == pytest.approx(1, abs=1e-12) for row in found.rows)
    assert all(row.own is None for row in found.rows), "no second look is taken where nothing parts"
    assert found.verdict.startswith("equal at all 5 matched layers: largest difference 0 at ")
    assert network.fingerprint() == before


def test_batches_do_not_change_the_measures(backend: str) -> None:
    a, b = chain(backend, STEPS), chain(backend, with_fault(("second", double)))
    whole, parts = (parity(a, b, IMAGES, batch=batch, gradients=0) for batch in (5, 2))
    for one, other in zip(whole.rows, parts.rows, strict=True):
        assert other.relative == pytest.approx(one.relative, rel=1e-5, abs=1e-7)
        assert other.own == pytest.approx(one.own, rel=1e-5, abs=1e-6)
        assert other.mean == pytest.approx(one.mean, rel=1e-5, abs=1e-7)


def test_a_fault_is_told_from_what_follows_from_it(backend: str) -> None:
    found = parity(chain(backend, STEPS), chain(backend, with_fault(("second", double))), IMAGES)
    assert found.parted == "second" and found.faults == ("second",) and not found.equal
    assert found.row("first").equal and found.row("first").relative <= 1e-6
    assert found.row("second").relative == pytest.approx(np.max(np.abs((2 * IMAGES) ** 2 - 4 * IMAGES)) / 4, rel=1e-2)
    assert [row.follows for row in found.rows] == [None, None, "second", "second", "second"]
    assert "differ first at second" in found.verdict
    assert found.verdict.endswith("; 3 layers after it differ because of it")
    assert "follows from second" in repr(found)


def test_several_faults_are_all_named_at_once() -> None:
    pytest.importorskip("torch")
    b = chain("torch", with_fault(("first", lambda x: 2.1 * x), ("third", lambda x: x + 0.3)))
    found = parity(chain("torch", STEPS), b, IMAGES, gradients=0)
    assert found.faults == ("first", "third") and found.parted == "first"
    assert found.row("second").follows == "first" and found.row("output").follows == "third"
    assert " and independently at 1 other layer: third; 3 layers differ because of them" in found.verdict


def test_a_block_is_blamed_for_what_it_does_itself_and_not_for_its_last_child() -> None:
    torch = pytest.importorskip("torch")
    from torch import nn

    class Block(nn.Module):
        def __init__(self, rectifies: bool, scale: float) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            with torch.no_grad():
                self.conv.weight *= scale
            self.rectifies = rectifies

        def forward(self, x: Any) -> Any:
            y = x + self.conv(x)
            return y.relu_() if self.rectifies else y

    def network(rectifies: bool = True, scale: float = 1.0) -> Network:
        torch.manual_seed(0)
        blocks = [Block(True, 1.0), Block(rectifies, scale), Block(True, 1.0)]
        return ph.wrap(nn.Sequential(nn.Sequential(*blocks), nn.Flatten()).eval(), size=SIZE)

    images = IMAGES - IMAGES.min()
    assert parity(network(), network(rectifies=False), images, gradients=0).faults == ("0.1",)
    assert parity(network(), network(scale=1.1), images, gradients=0).faults == ("0.1.conv",)


def test_faults_inside_a_scan_are_found_by_iteration() -> None:
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    def network(scales: list[float]) -> Network:
        def step(x: Any, scale: Any) -> Any:
            return jax.ad_checkpoint.checkpoint_name(jnp.sin(x) * scale, "step"), None

        return ph.wrap(lambda x: jax.lax.scan(step, x, jnp.asarray(scales))[0].mean((1, 2)), size=SIZE, name="scanned")

    found = parity(network([1.0, 1.1, 1.2]), network([1.0, 1.15, 1.2]), IMAGES, gradients=0)
    assert found.faults == ("step#1",) and found.row("step#2").follows == "step#1"


def test_differences_that_add_up_are_no_layers_fault(backend: str) -> None:
    slightly: list[Step] = [(path, lambda x: 2.00014 * x) for path, _ in STEPS]
    plain: list[Step] = [(path, double) for path, _ in STEPS]
    found = parity(chain(backend, plain), chain(backend, slightly), IMAGES, gradients=0)
    assert found.parted == "second" and found.faults == () and not found.equal
    assert "but no layer differs if given equal inputs: small differences accumulate" in found.verdict


def test_a_gradient_that_parts_alone_is_said() -> None:
    pytest.importorskip("torch")
    b = chain("torch", with_fault(("third", lambda x: 0.5 * x.detach() + 0.5 * x + 0.25)))
    found = parity(chain("torch", STEPS), b, IMAGES)
    assert not found.equal and found.parted is None
    assert found.row("second").gradient == pytest.approx(0, abs=1e-6)
    assert found.row("third").gradient == pytest.approx(0.5, rel=1e-3)
    assert "but gradients of the image differ first at third (0.5)" in found.verdict


def test_gradients_that_differ_by_a_tie_are_not_held_against_a_port(backend: str) -> None:
    def network(threshold: float) -> Network:
        steps: list[Step] = [
            ("first", shift),
            ("second", lambda x: (x - threshold) * (x > threshold)),
            ("third", shift),
        ]
        return chain(backend, steps)

    images = IMAGES.copy()
    images[0, 0, 0, 0] = 0.5
    found = parity(network(0.75), network(0.75 - 1e-7), images)
    row = found.row("third")
    assert row.gradient is not None and row.floor is not None and 2 * row.floor >= row.gradient > 1e-2
    assert found.equal and "where rounding alone changes them by" in found.verdict


def test_gradients_are_taken_at_the_output_and_spread_over_the_rest(backend: str) -> None:
    network = chain(backend, STEPS)
    assert [row.a for row in parity(network, network, IMAGES, gradients=2).rows if row.gradient is not None] == [
        "first",
        "third",
        "output",
    ]
    assert all(row.gradient is None for row in parity(network, network, IMAGES, gradients=0).rows)


def test_values_that_are_not_finite_are_counted_and_named() -> None:
    pytest.importorskip("torch")
    b = chain("torch", with_fault(("third", lambda x: (x - 0.01).log() * 0 + x + 0.25)))
    images = IMAGES.copy()
    images[0, 0, 0] = 0.0
    found = parity(chain("torch", STEPS), b, images, gradients=0)
    assert found.parted == "third" and found.faults == ("third",)
    assert found.row("third").nonfinite == (0, int(((2 * images) ** 2 < 0.01).sum()))
    assert "3 layers have values that are NaN or infinite, first third (0 in one network and " in found.verdict
    text = json.dumps(found.certificate(), allow_nan=False)
    assert json.loads(text)["table"][2]["relative"] is None


def test_the_comparison_can_be_stopped() -> None:
    network = chain("torch", STEPS)
    told = []
    stopped = parity(
        network, network, IMAGES, batch=2, gradients=0, progress=lambda state: told.append(state.done) or False
    )
    assert told == [2] and stopped.images["count"] == 2


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 9, 8, 3), np.float32), "images: expected images of 8 x 8 pixels, got 9 x 8"),
        (np.zeros((1, 8, 8, 4), np.float32), r"images: expected shape \(N, H, W, 3\)"),
        (np.zeros((0, 8, 8, 3), np.float32), r"images: expected shape \(N, H, W, 3\)"),
        (np.full((1, 8, 8, 3), 7.0, np.float32), r"images: expected values in \[0, 1\]"),
    ],
)
def test_images_that_do_not_fit(images: np.ndarray, message: str) -> None:
    network = chain("torch", STEPS)
    with pytest.raises(errors.InvalidImages, match=message):
        parity(network, network, images)


@pytest.mark.filterwarnings("ignore:.*no inner layer")
def test_networks_and_numbers_that_do_not_fit() -> None:
    from torch import nn

    network = chain("torch", STEPS)
    with pytest.raises(
        errors.InvalidParameter, match=r"net_b: expected a network with the input size of net_a, \(8, 8\)"
    ):
        parity(network, ph.wrap(nn.Conv2d(3, 4, 1).eval(), size=9), IMAGES)
    with pytest.raises(errors.InvalidParameter, match="net_b: expected a network with the input channels of net_a, 3"):
        parity(network, ph.wrap(nn.Conv2d(1, 4, 1).eval(), size=SIZE, channels=1), IMAGES)
    with pytest.raises(errors.InvalidParameter, match=r"net_b: expected a network, got 3. Wrap a model first"):
        parity(network, 3, IMAGES)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidParameter, match="tolerance: expected a number above 0, got 0"):
        parity(network, network, IMAGES, tolerance=0)
    with pytest.raises(errors.InvalidParameter, match="gradients: expected an integer of at least 0"):
        parity(network, network, IMAGES, gradients=-1)


def test_another_normalisation_is_pointed_at() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Conv2d(3, 4, 1)
    one, other = (ph.wrap(torch.nn.Sequential(model).eval(), size=SIZE, mean=mean) for mean in (0.5, 0.45))
    assert parity(one, other, IMAGES).verdict.endswith("; the networks normalise images differently")
