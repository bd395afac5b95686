"""Ways to write an image: closed forms, round trips, and statistics planted in the images that they are fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from array_api_compat import numpy as xp

import phosphene as ph
from phosphene import errors
from phosphene.parameterizations import COLOUR, Parameterization


def decoded(parameterization: Parameterization, parameters: Any, canvas: tuple[int, int, int]) -> Any:
    return parameterization.decode(xp, np.asarray(parameters)[None], parameterization.constants(canvas), canvas)[0]


def natural(count: int, side: int, channels: int, decay: float, seed: int = 0) -> Any:
    """Images whose amplitudes fall by a power of the frequency, with colours mixed by a known matrix."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    frequency[0, 0] = np.inf
    white = random.standard_normal((count, channels, side, side))
    planes = np.fft.ifft2(np.fft.fft2(white) / frequency**decay).real
    planes /= planes.std()
    mixing = np.tril(random.random((channels, channels))) + np.eye(channels)
    return np.clip(0.5 + 0.05 * np.einsum("ij,njhw->nhwi", mixing, planes), 0, 1), 0.05 * mixing


@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 6, 1), (10, 7, 5)])
@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_fourier_parameters_of_an_image_show_it(shape: tuple[int, int, int], decay: float) -> None:
    image = np.random.default_rng(0).uniform(0.1, 0.9, shape)
    parameterization = ph.parameterizations.fourier(decay=decay)
    np.testing.assert_allclose(decoded(parameterization, parameterization.encode(image), shape), image, atol=1e-10)


def test_black_and_white_come_back_as_near_as_they_can() -> None:
    image = np.random.default_rng(0).integers(0, 2, (8, 8, 3)).astype(float)
    again = decoded(ph.parameterizations.fourier(), ph.parameterizations.fourier().encode(image), (8, 8, 3))
    assert np.abs(again - image).max() <= 1 / 256 + 1e-9


@pytest.mark.parametrize("side", [16, 15])
def test_the_phases_of_a_picture_leave_its_magnitudes_alone(side: int) -> None:
    canvas = (side, side, 3)
    parameterization = ph.parameterizations.maco(decay=1.2, contrast=0.7)
    random = np.random.default_rng(1)
    magnitudes = []
    for _ in range(2):
        image = decoded(parameterization, parameterization.initial(random, canvas), canvas)
        values = np.log(image / (1 - image)) @ np.linalg.inv(COLOUR / np.linalg.norm(COLOUR, axis=0).max()).T
        magnitudes.append(np.abs(np.fft.rfft2(values, axes=(0, 1))))
        assert abs(values.mean()) < 1e-9
    # Columns that are their own mirror image lose the part of a phase that a real image cannot have; all others are as given.
    inner = np.s_[:, 1 : side // 2]
    np.testing.assert_allclose(magnitudes[0][inner], magnitudes[1][inner], rtol=1e-6)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])[..., None]
    product = (magnitudes[0] * frequency**1.2)[inner]
    np.testing.assert_allclose(product, product.mean() * np.ones_like(product), rtol=1e-6)


def test_contrast_is_the_deviation_before_the_sigmoid() -> None:
    canvas, parameterization = (32, 32, 1), ph.parameterizations.maco(contrast=0.5)
    random = np.random.default_rng(2)
    deviations = []
    for _ in range(8):
        image = decoded(parameterization, parameterization.initial(random, canvas), canvas)
        deviations.append(np.log(image / (1 - image)).std())
    assert np.mean(deviations) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("decay", [0.7, 1.4])
def test_statistics_find_the_spectrum_and_the_colours(channels: int, decay: float) -> None:
    images, mixing = natural(40, 64, channels, decay)
    found = ph.parameterizations.image_statistics(images)
    assert found.decay == pytest.approx(decay, abs=0.15)
    covariance = mixing @ mixing.T
    np.testing.assert_allclose(found.colour @ found.colour.T, covariance, atol=0.15 * covariance.max())
    canvas = (32, 32, channels)
    for parameterization in (
        ph.parameterizations.fourier(statistics=found),
        ph.parameterizations.maco(statistics=found),
    ):
        image = decoded(parameterization, parameterization.initial(np.random.default_rng(0), canvas), canvas)
        assert image.shape == canvas and image.min() > 0 and image.max() < 1
    fitted = ph.parameterizations.fourier(statistics=found)
    np.testing.assert_allclose(
        decoded(fitted, fitted.encode(images[0]), images[0].shape), np.clip(images[0], 1 / 256, 255 / 256), atol=1e-8
    )


def test_a_shared_coarse_part_is_the_same_in_all_pictures() -> None:
    parameterization, canvas = ph.parameterizations.fourier(shared=0.1, decorrelate=False), (32, 32, 1)
    random = np.random.default_rng(3)
    parameters = np.stack([parameterization.initial(random, canvas) * 40 for _ in range(3)])
    images = parameterization.decode(xp, parameters, parameterization.constants(canvas), canvas)
    spectra = np.fft.rfft2(np.log(images / (1 - images))[..., 0])
    frequency = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)[None])
    apart = np.abs(spectra - spectra[0]).max(axis=0)
    assert apart[frequency < 0.1].max() < 1e-9 < apart[(frequency > 0.11) & (frequency < 0.4)].min()


@pytest.mark.parametrize(("norm", "length"), [("l2", lambda x: np.linalg.norm(x)), ("linf", lambda x: np.abs(x).max())])
def test_a_perturbation_stays_in_its_ball(norm: str, length: Any, backend: str, load: Any) -> None:
    network = load("specimen", backend)
    image = np.random.default_rng(0).uniform(0.2, 0.8, (32, 32, 3))
    radius = {"l2": 1.5, "linf": 0.03}[norm]
    found = ph.render(
        network,
        [ph.logit("coins"), ph.channel("stage1", 0)],
        size=32,
        steps=12,
        transforms=[],
        regularizers=[],
        parameterization=ph.parameterizations.perturbation(image, radius, norm),
        progress=False,
    )
    lengths = [length(shown.astype(np.float64) - image) for shown in found.images]
    assert max(lengths) <= radius * (1 + 1e-5) and min(lengths) > 0.5 * radius
    assert (
        found.values[0]
        > ph.activations(
            network,
            image.astype(np.float32)[None],
            "output",
        )["output"][0, network.classes.index("coins")]
    )


def test_a_parameterization_of_ones_own_is_two_functions(backend: str, load: Any) -> None:
    """Stripes: a number a column. What is not a stripe cannot come out."""

    def columns(random: Any, canvas: Any) -> Any:
        return 0.1 * random.standard_normal((canvas[1], canvas[2]))

    def striped(xp: Any, parameters: Any, canvas: Any) -> Any:
        rows = xp.zeros_like(parameters[:, None, :, :]) + xp.zeros((1, canvas[0], 1, 1), dtype=parameters.dtype)
        return 0.5 + parameters[:, None, :, :] + rows

    found = ph.render(
        load("specimen", backend),
        ph.channel("stage1", 1),
        size=32,
        steps=8,
        transforms=[],
        regularizers=[],
        parameterization=ph.parameterizations.parameterization(columns, striped),
        progress=False,
    )
    image = found.images[0]
    assert np.ptp(image, axis=0).max() == 0 and np.ptp(image, axis=1).max() > 0.05


def test_what_cannot_be_is_refused() -> None:
    image = np.full((8, 8, 3), 0.5)
    four = ph.parameterizations.fourier(statistics=ph.parameterizations.image_statistics(natural(3, 16, 4, 1.0)[0]))
    for call, message in (
        (
            lambda: ph.parameterizations.pixel(0.7, uniform=True),
            "spread: expected a number of at least 0 and at most 0.5, got 0.7",
        ),
        (
            lambda: ph.parameterizations.fourier(shared=0.7),
            "shared: expected a number of at least 0 and at most 0.5, got 0.7",
        ),
        (lambda: ph.parameterizations.maco(contrast=0), "contrast: expected a number above 0"),
        (lambda: ph.parameterizations.maco(decay=-1), "decay: expected"),
        (
            lambda: ph.parameterizations.perturbation(image * 255, 1.0),
            r"image: expected one image .* in \[0, 1\], got .*values 127.5 to 127.5",
        ),
        (lambda: ph.parameterizations.perturbation(image, 0.0), "radius: expected a number above 0"),
        (lambda: ph.parameterizations.perturbation(image, 1.0, "l1"), "norm: expected 'l2' or 'linf'"),
        (
            lambda: ph.parameterizations.perturbation(image, 1.0).initial(np.random.default_rng(0), (9, 9, 3)),
            "size: expected the size of the image",
        ),
        (lambda: ph.parameterizations.parameterization(None, len), "initial: expected a function"),
        (lambda: ph.parameterizations.image_statistics(image[None]), "images: expected at least two images"),
        (
            lambda: ph.parameterizations.image_statistics([image, image]),
            "images: expected images with more than one colour",
        ),
        (lambda: ph.parameterizations.image_statistics([image[:4], image]), "of at least 8 x 8 pixels"),
        (lambda: ph.parameterizations.maco().encode(image), "start: expected None, since this parameterization"),
        (lambda: four.constants((16, 16, 3)), "statistics of images with 3 channels, got statistics of images with 4"),
    ):
        with pytest.raises(errors.InvalidParameter, match=message):
            call()
