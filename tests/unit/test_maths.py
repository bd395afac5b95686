"""The declarations' maths against slow, obvious oracles in NumPy and SciPy, on both array namespaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import phosphene as ph
from phosphene import rules, warps
from phosphene.arrays import tree_map
from phosphene.backend import backend_named
from phosphene.findings import RECTIFIERS
from phosphene.parameterizations import COLOUR
from phosphene.parameterizations.spectral import fourier_basis
from phosphene.regularizers.projections import gaussian_matrix


@pytest.fixture
def arrays(backend: str) -> Any:
    """From NumPy, to NumPy and the namespace of one backend, in float64 where it has it."""
    owner = backend_named(backend)

    def give(array: Any) -> Any:
        return owner.from_numpy(np.asarray(array), device="cpu", dtype="float32")

    return owner, owner.xp, give, owner.to_numpy


def _images(count: int = 2, height: int = 9, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).random((count, height, width, 3)).astype(np.float32)


def test_isotropic_total_variation(arrays: Any) -> None:
    _, xp, give, take = arrays
    images = _images()
    wanted = []
    for image in images.astype(np.float64):
        total = 0.0
        for y in range(8):
            for x in range(6):
                for c in range(3):
                    down, right = image[y + 1, x, c] - image[y, x, c], image[y, x + 1, c] - image[y, x, c]
                    total += (down**2 + right**2 + 1e-4) ** 0.5 - 1e-2
        wanted.append(2.0 * total / (8 * 6 * 3))
    np.testing.assert_allclose(take(ph.regularizers.total_variation(2.0)(xp, give(images))), wanted, rtol=1e-5)


def test_anisotropic_total_variation(arrays: Any) -> None:
    _, xp, give, take = arrays
    images = _images()
    wanted = np.abs(np.diff(images, axis=1)).mean((1, 2, 3)) + np.abs(np.diff(images, axis=2)).mean((1, 2, 3))
    np.testing.assert_allclose(
        take(ph.regularizers.total_variation(1.0, "anisotropic")(xp, give(images))), wanted, rtol=2e-3
    )


def test_norms_are_about_mid_grey(arrays: Any) -> None:
    _, xp, give, take = arrays
    images = _images()
    np.testing.assert_allclose(
        take(ph.regularizers.l2(3.0)(xp, give(images))), 3 * ((images - 0.5) ** 2).mean((1, 2, 3)), rtol=1e-5
    )
    np.testing.assert_allclose(
        take(ph.regularizers.l1(3.0)(xp, give(images))), 3 * np.abs(images - 0.5).mean((1, 2, 3)), rtol=2e-3
    )


def test_flat_images_cost_nothing_and_have_a_finite_gradient(arrays: Any) -> None:
    owner, xp, give, take = arrays
    flat = give(np.full((1, 8, 8, 3), 0.5, np.float32))
    for penalty in (
        ph.regularizers.total_variation(1.0),
        ph.regularizers.total_variation(1.0, "anisotropic"),
        ph.regularizers.l1(1.0),
        ph.regularizers.l2(1.0),
    ):
        gradient, _ = owner.grad(lambda x, penalty=penalty: (xp.sum(penalty(xp, x)), ()))(flat)
        assert abs(float(take(penalty(xp, flat))[0])) < 1e-6
        assert np.abs(take(gradient)).max() < 1e-6


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.5])
def test_gaussian_matrix_is_scipys_filter(sigma: float) -> None:
    image = np.random.default_rng(1).random((17, 17))
    matrix = gaussian_matrix(17, sigma)
    np.testing.assert_allclose(
        matrix @ image @ matrix.T, ndimage.gaussian_filter(image, sigma, mode="reflect"), atol=1e-12
    )


def test_blur_happens_every_k_steps_row_by_row(arrays: Any) -> None:
    _, xp, give, take = arrays
    images, blur = _images(), ph.regularizers.blur(1.0, every=3)
    constants = tuple(give(matrix) for matrix in blur.constants((9, 7)))
    seen = take(blur(xp, give(images), give(np.array([3, 4], np.int32)), constants))
    wanted = ndimage.gaussian_filter(images[0], (1.0, 1.0, 0), mode="reflect")
    np.testing.assert_allclose(seen[0], wanted, atol=1e-5)
    assert np.array_equal(seen[1], images[1])


def _slow_warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], fill: float) -> np.ndarray:
    out = np.empty((*size, image.shape[-1]))
    for y in range(size[0]):
        for x in range(size[1]):
            px, py = matrix @ [x, y, 1]
            left, top = int(np.floor(px)), int(np.floor(py))
            value = 0.0
            for dy in (0, 1):
                for dx in (0, 1):
                    row, column = top + dy, left + dx
                    inside = 0 <= row < image.shape[0] and 0 <= column < image.shape[1]
                    weight = (1 - abs(py - row)) * (1 - abs(px - column))
                    value = value + weight * (image[row, column] if inside else fill)
            out[y, x] = value
    return out


@pytest.mark.parametrize("kind", warps.KINDS)
def test_warp_is_slow_bilinear_sampling(arrays: Any, kind: str) -> None:
    owner, xp, give, take = arrays
    images = _images(3, 9, 7)
    linear = {"shift": (1, 0, 0, 1), "separable": (0.8, 0, 0, 1.3), "general": (0.9, -0.3, 0.2, 1.1)}[kind]
    offsets = [(2, -3), (-1, 4), (0, 0)] if kind == "shift" else [(1.3, -0.7), (-2.6, 3.1), (0.4, 0.2)]
    matrices = warps.exact(np.asarray([[[*linear[:2], x], [*linear[2:], y]] for x, y in offsets]))
    size = (8, 10)
    wanted = np.stack([_slow_warp(image, matrix, size, 0.5) for image, matrix in zip(images, matrices, strict=True)])
    for warp in (lambda *a, **k: warps.warp(xp, *a, **k), owner.warp):
        seen = take(warp(give(images), give(matrices), size, fill=0.5, kind=kind))
        np.testing.assert_allclose(seen, wanted, atol=2e-5)


@pytest.mark.parametrize("kind", warps.KINDS)
def test_gradient_of_a_warp_is_its_adjoint(arrays: Any, kind: str) -> None:
    owner, xp, give, take = arrays
    images, other = _images(1, 9, 9), np.random.default_rng(5).standard_normal((1, 9, 9, 3)).astype(np.float32)
    linear = {"shift": (1, 0, 0, 1), "separable": (0.8, 0, 0, 1.3), "general": (0.9, -0.3, 0.2, 1.1)}[kind]
    offset = (1, 2) if kind == "shift" else (0.6, -1.2)
    matrix = give(warps.exact(np.asarray([[[*linear[:2], offset[0]], [*linear[2:], offset[1]]]])))

    def pairing(x: Any) -> Any:
        return xp.sum(owner.warp(x, matrix, (9, 9), fill=0.0, kind=kind) * give(other)), ()

    gradient = take(owner.grad(pairing)(give(images))[0])
    value = float(take(pairing(give(images))[0]))
    assert float((gradient * images).sum()) == pytest.approx(value, rel=1e-4, abs=1e-4)


def test_kind_of_names_the_cheapest() -> None:
    shift = np.array([[[1, 0, 3], [0, 1, -2]]], float)
    assert warps.kind_of(shift) == "shift"
    assert warps.kind_of(shift + np.array([[[0, 0, 0.5], [0, 0, 0]]])) == "separable"
    assert warps.kind_of(shift + np.array([[[0, 0.1, 0], [0, 0, 0]]])) == "general"


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 7), (6, 10)])
def test_fourier_images_are_sums_of_waves(arrays: Any, height: int, width: int) -> None:
    _, xp, give, take = arrays
    parameterization, canvas = ph.parameterizations.fourier(decay=1.0), (height, width, 3)
    parameters = parameterization.initial(np.random.default_rng(2), canvas)
    seen = take(
        parameterization.decode(xp, give(parameters[None]), tree_map(give, parameterization.constants(canvas)), canvas)
    )[0]
    scale = fourier_basis(height, width, 1.0)
    y, x = np.mgrid[:height, :width]
    values = np.zeros(canvas)
    for ky in range(height):
        for kx in range(width // 2 + 1):
            twice = 1 if kx == 0 or (width % 2 == 0 and kx == width // 2) else 2
            angle = 2 * np.pi * (ky * y / height + kx * x / width)
            real, imaginary = parameters[0, :, ky, kx], parameters[1, :, ky, kx]
            wave = np.cos(angle)[..., None] * real - np.sin(angle)[..., None] * imaginary
            values += twice * scale[ky, kx] * wave / (height * width)
    # What is not conjugate-symmetric in the columns that mirror themselves has no image: an inverse real transform drops it.
    coefficients = (parameters[0] + 1j * parameters[1]) * scale
    reference = np.moveaxis(np.fft.irfftn(coefficients, s=(height, width), axes=(1, 2)), 0, -1)
    wanted = 1 / (1 + np.exp(-(reference @ (COLOUR.T / np.linalg.norm(COLOUR, axis=0).max()))))
    np.testing.assert_allclose(seen, wanted, atol=1e-5)
    np.testing.assert_allclose(values, reference, atol=1e-10)


def test_fourier_scale_is_the_published_one() -> None:
    scale = fourier_basis(64, 64, 1.0)
    assert scale[0, 0] == pytest.approx(64 * 64 / 4)
    assert scale[0, 1] == pytest.approx(64 * 64 / 4)
    assert scale[0, 2] == pytest.approx(64 * 32 / 4)
    assert fourier_basis(64, 64, 2.0)[0, 2] == pytest.approx(64 * 32**2 / 4)


@pytest.mark.parametrize("rule", [rules.Guided(), rules.Deconvolution(), rules.Redirected()])
def test_rules_against_their_definitions(arrays: Any, rule: Any) -> None:
    _, xp, give, take = arrays
    random = np.random.default_rng(4)
    x, g = (
        random.standard_normal((3, 4, 4, 2)).astype(np.float32),
        random.standard_normal((3, 4, 4, 2)).astype(np.float32),
    )
    x[1] = -np.abs(x[1])  # dead everywhere
    x[2] = -np.abs(x[2])
    gradient, used = (take(item) for item in rule(xp, give(x), give(g), give(np.array([1, 1, 0], np.float32))))
    if isinstance(rule, rules.Guided):
        np.testing.assert_array_equal(gradient, np.where((x > 0) & (g > 0), g, 0))
    elif isinstance(rule, rules.Deconvolution):
        np.testing.assert_array_equal(gradient, np.maximum(g, 0))
    else:
        np.testing.assert_array_equal(gradient[0], np.where(x[0] > 0, g[0], 0))
        np.testing.assert_array_equal(used, [0, 1, 0])
        np.testing.assert_array_equal(gradient[2], 0)
        assert (gradient[1][g[1] < 0] == 0).all() and (gradient[1][g[1] > 0] > 0).all()
        flat = x[1, ..., 0].ravel()
        ratio = (gradient[1, ..., 0] / np.where(g[1, ..., 0] > 0, g[1, ..., 0], np.nan)).ravel()
        order = np.argsort(flat[np.isfinite(ratio)])
        assert (np.diff(ratio[np.isfinite(ratio)][order]) >= 0).all(), "the position nearest to firing is pushed first"


def test_a_unit_at_its_ceiling_everywhere_can_only_be_lowered(arrays: Any) -> None:
    _, xp, give, take = arrays
    x = np.full((3, 4, 4, 2), 9.0, np.float32)
    x[:, 1, 2] = 6.5  # nearest to the ceiling
    g = np.ones_like(x)
    g[0] = -1.0
    gate = np.array([1, 1, 0], np.float32)
    unit = rules.Rectifier(6.0)
    gradient, _ = (take(item) for item in rules.Redirected()(xp, give(x), give(g), give(gate), unit))
    assert (gradient[0] < 0).all() and (gradient[0].reshape(16, 2).argmin(0) == 4 + 2).all()
    np.testing.assert_allclose(gradient[0].sum((0, 1)), [-16, -16], rtol=1e-5)
    assert not gradient[1:].any()


def test_the_own_gradient_of_a_rectifier_at_its_kinks(arrays: Any) -> None:
    _, xp, give, take = arrays
    x, g = np.array([[-1, 0, 1, 6, 7]], np.float32), np.full((1, 5), 2, np.float32)
    for unit, wanted in (
        (rules.Rectifier(), [0, 0, 2, 2, 2]),
        (rules.Rectifier(6.0), [0, 0, 2, 0, 0]),
        (rules.Rectifier(6.0, 1.0, 1.0), [0, 2, 2, 2, 0]),
        (rules.Rectifier(6.0, 0.5, 0.5), [0, 1, 2, 1, 0]),
    ):
        np.testing.assert_array_equal(take(unit.standard(xp, give(x), give(g))), [wanted])
    assert [rules.Rectifier(ceiling).name for ceiling in (np.inf, 6.0, 2.0)] == ["relu", "relu6", "clipped relu"]
    assert {"relu", "relu6", "clipped relu"} == RECTIFIERS


def test_adam_and_sgd_have_a_clock_a_row(arrays: Any) -> None:
    _, xp, give, take = arrays
    random = np.random.default_rng(6)
    gradients = random.standard_normal((5, 2, 4)).astype(np.float32)
    for optimizer in (ph.optimizers.adam(0.1), ph.optimizers.sgd(0.1, 0.9)):
        parameters, clock = give(np.zeros((2, 4), np.float32)), np.zeros(2, np.int32)
        state = optimizer.init(xp, parameters)
        for gradient in gradients[:2]:
            parameters, state = optimizer.update(xp, give(gradient), state, parameters, give(clock))
            clock = clock + 1
        fresh = give(np.stack([take(parameters)[0], np.zeros(4, np.float32)]))
        state = optimizer.restart(xp, state, fresh, [False, True])
        clock[1] = 0
        seen, _ = optimizer.update(xp, give(gradients[2]), state, fresh, give(clock))
        alone = give(np.zeros((1, 4), np.float32))
        wanted, _ = optimizer.update(
            xp, give(gradients[2][1:]), optimizer.init(xp, alone), alone, give(np.zeros(1, np.int32))
        )
        np.testing.assert_allclose(take(seen)[1], take(wanted)[0], rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"beta1": 0.5, "beta2": 0.99}])
def test_adam_is_torchs(options: dict[str, float]) -> None:
    torch = pytest.importorskip("torch")
    from array_api_compat import torch as xp

    gradients = torch.randn(6, 1, 5, dtype=torch.float64)
    ours = torch.zeros(1, 5, dtype=torch.float64)
    optimizer, theirs = ph.optimizers.adam(0.05, **options), torch.nn.Parameter(torch.zeros(1, 5, dtype=torch.float64))
    reference = torch.optim.Adam([theirs], lr=0.05, betas=(options.get("beta1", 0.9), options.get("beta2", 0.999)))
    state = optimizer.init(xp, ours)
    for step, gradient in enumerate(gradients):
        ours, state = optimizer.update(xp, gradient, state, ours, torch.tensor([step]))
        theirs.grad = -gradient
        reference.step()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-10)


def test_sgd_is_optaxs() -> None:
    optax, jnp = pytest.importorskip("optax"), pytest.importorskip("jax.numpy")
    gradients = np.random.default_rng(7).standard_normal((6, 1, 5)).astype(np.float32)
    ours = theirs = jnp.zeros((1, 5))
    optimizer, reference = ph.optimizers.sgd(0.05, 0.9), optax.sgd(0.05, momentum=0.9)
    state, kept = optimizer.init(jnp, ours), reference.init(theirs)
    for step, gradient in enumerate(gradients):
        ours, state = optimizer.update(jnp, jnp.asarray(gradient), state, ours, jnp.asarray([step]))
        change, kept = reference.update(-jnp.asarray(gradient), kept)
        theirs = theirs + change
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5)
