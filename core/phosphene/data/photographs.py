"""The photographs in the wheels of scikit-image and scikit-learn, one class each.

They are read as files, since scikit-image's own functions may download. Licences are quoted from those packages (the
docstrings of ``skimage.data``, the README beside scikit-learn's images).
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.data.pixels import decoded
from phosphene.errors import MissingDependency

__all__ = ["PHOTOGRAPHS", "Photograph", "pixels", "read"]


@dataclass(frozen=True)
class Photograph:
    """A photograph that comes with another package.

    Attributes
    ----------
    name : str
        Name of its class.
    file : str
        Path within the package.
    package : str
        Import name of the package.
    title : str
        What it shows, and its author if known.
    licence : str
        Licence, as far as documented.
    source : str
        Origin, as documented by the package.
    """

    name: str
    file: str
    package: str
    title: str
    licence: str
    source: str


_CC0 = "CC0"
_PUBLIC = "public domain"
_UNRESTRICTED = "no known copyright restrictions"
_UNSTATED = "not stated by scikit-image"


def _skimage(name: str, file: str, title: str, licence: str, source: str) -> Photograph:
    return Photograph(name, f"data/{file}", "skimage", title, licence, source)


def _sklearn(name: str, file: str, title: str, source: str) -> Photograph:
    return Photograph(name, f"datasets/images/{file}", "sklearn", title, "CC BY 2.0", source)


PHOTOGRAPHS: tuple[Photograph, ...] = (
    _skimage("astronaut", "astronaut.png", "Eileen Collins, by NASA", _PUBLIC, "https://flic.kr/p/r9qvLn"),
    _skimage("brick", "brick.png", "a brick wall", _CC0, "https://cc0textures.com/view.php?tex=Bricks25"),
    _skimage("camera", "camera.png", "a man with a camera on a tripod, by Lav Varshney", _CC0, "the photographer"),
    _skimage("cat", "chelsea.png", "Chelsea the cat, by Stefan van der Walt", _CC0, "the photographer"),
    _sklearn(
        "china",
        "china.jpg",
        "a Chinese pagoda by a lake, by danielbuechele",
        "https://www.flickr.com/photos/danielbuechele/6061409035/",
    ),
    _skimage("coffee", "coffee.png", "a cup of coffee, by Rachel Michetti", _CC0, "Pikolo Espresso Bar"),
    _skimage(
        "coins",
        "coins.png",
        "Greek coins from Pompeii, Brooklyn Museum",
        _UNRESTRICTED,
        "https://www.brooklynmuseum.org/opencollection/archives/image/51611",
    ),
    _sklearn("flower", "flower.jpg", "a dahlia, by vultilion", "https://www.flickr.com/photos/vultilion/6056698931/"),
    _skimage(
        "grass",
        "grass.png",
        "grass, by linolafett",
        _CC0,
        "https://www.deviantart.com/linolafett/art/Grass-01-434853879",
    ),
    _skimage("gravel", "gravel.png", "gravel", _CC0, "https://cc0textures.com/view.php?tex=Gravel04"),
    _skimage(
        "hubble",
        "hubble_deep_field.jpg",
        "the Hubble eXtreme Deep Field, by NASA",
        _PUBLIC,
        "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
    ),
    _skimage(
        "ihc", "ihc.png", "colonic glands, stained", _UNRESTRICTED, "Center for Microscopy And Molecular Imaging (CMMI)"
    ),
    _skimage("moon", "moon.png", "the surface of the moon", _UNSTATED, "not stated by scikit-image"),
    _skimage(
        "motorcycle",
        "motorcycle_left.png",
        "a motorcycle in a workshop, by Scharstein et al. 2014",
        _UNSTATED,
        "Middlebury stereo benchmark 2014, http://vision.middlebury.edu/stereo/data/scenes2014/",
    ),
    _skimage("page", "page.png", "a printed page, scanned", _UNSTATED, "not stated by scikit-image"),
    _skimage(
        "retina",
        "retina.jpg",
        "the fundus of an eye, by Mikael Häggström",
        _CC0,
        "https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg",
    ),
    _skimage(
        "rocket",
        "rocket.jpg",
        "a Falcon 9 on its pad, by SpaceX",
        "public domain, by scikit-image's account",
        "https://www.flickr.com/photos/spacexphotos/16511594820/",
    ),
    _skimage("text", "text.png", "writing on paper", _PUBLIC, "https://en.wikipedia.org/wiki/File:Corner.png"),
)
"""The eighteen photographs, sorted by class name."""


def read(photograph: Photograph) -> NDArray[np.float32]:
    """Read a photograph as RGB.

    Parameters
    ----------
    photograph : Photograph
        One of `PHOTOGRAPHS`.

    Returns
    -------
    numpy.ndarray (H, W, 3) of float32
        In [0, 1]; grey photographs have three equal channels, and transparent ones are laid on white.

    Raises
    ------
    MissingDependency
        When the package that contains the photograph is not installed.
    """
    return pixels(photograph).astype(np.float32) / np.float32(255)


@functools.cache
def pixels(photograph: Photograph) -> NDArray[np.uint8]:
    """Read a photograph as bytes ``(H, W, 3)``, read-only and cached for the process; raises as `read` does."""
    result: NDArray[np.uint8] = decoded(_folder(photograph.package) / photograph.file)
    result.setflags(write=False)
    return result


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingDependency({"skimage": "scikit-image", "sklearn": "scikit-learn"}.get(package, package), "demo")
    return Path(spec.origin).parent
