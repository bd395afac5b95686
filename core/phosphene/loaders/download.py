"""Download published weights that are not cached; fail at once, without retries, if the host cannot be reached."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from phosphene.errors import MissingWeights

__all__ = ["PATIENCE", "ask", "from_hub", "from_hub_with", "in_torch_cache"]

PATIENCE = 5.0
"""Seconds within which a host must answer."""

Result = TypeVar("Result")


def ask(url: str, what: str, place: str | Path) -> None:
    """Check that the host of `url` answers, before a download waits for it and retries.

    Parameters
    ----------
    url : str
        Address whose headers are requested.
    what : str
        What would be downloaded, for the error message.
    place : str or Path
        Where it would be cached, for the error message.

    Raises
    ------
    MissingWeights
        If the host does not answer.
    """
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "phosphene"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass
    except urllib.error.HTTPError:
        return  # the host answers; a missing file is reported by the download itself
    except (OSError, http.client.HTTPException) as error:
        raise MissingWeights(what, url, str(place), str(getattr(error, "reason", error))) from error


def in_torch_cache(url: str) -> Path:
    """Return the path at which PyTorch caches the file of a URL.

    Raises
    ------
    MissingWeights
        If the file is not cached and the host does not answer.
    """
    import torch.hub

    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2].partition("?")[0]
    if not place.exists():
        ask(url, place.name, place)
    return place


def from_hub(repository: str, files: Sequence[str]) -> Path:
    """Return the path of the first of `files` that a repository of the Hugging Face hub has.

    Parameters
    ----------
    repository : str
        ``owner/name``, or ``owner/name@revision``.
    files : sequence of str
        File names in order of preference.

    Returns
    -------
    Path
        Path of the file in the hub's cache.

    Raises
    ------
    MissingWeights
        If no file is cached and none can be downloaded.
    """
    import huggingface_hub as hub
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    name, _, revision = repository.partition("@")
    what = f"{name} ({' or '.join(files)})"
    for file in files:
        found = hub.try_to_load_from_cache(name, file, cache_dir=constants.HF_HUB_CACHE, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    _ask_hub(what)
    for file in files:
        try:
            return Path(hub.hf_hub_download(name, file, cache_dir=constants.HF_HUB_CACHE, revision=revision or None))
        except LocalEntryNotFoundError as error:
            raise MissingWeights(what, constants.ENDPOINT, constants.HF_HUB_CACHE, str(error)) from error
        except EntryNotFoundError:
            continue
        except OSError as error:
            raise MissingWeights(what, constants.ENDPOINT, constants.HF_HUB_CACHE, _first_line(error)) from error
    raise MissingWeights(what, constants.ENDPOINT, constants.HF_HUB_CACHE, "the repository has no such file")


def from_hub_with(what: str, fetch: Callable[[bool], Result]) -> Result:
    """Return ``fetch(True)``, which uses only the cache, or else ``fetch(False)``, which downloads.

    Parameters
    ----------
    what : str
        What would be downloaded, for the error message.
    fetch : callable
        Takes whether to use only the cache; raises OSError if it finds nothing.

    Raises
    ------
    MissingWeights
        If neither finds it.
    """
    from huggingface_hub import constants

    try:
        return fetch(True)
    except OSError:
        _ask_hub(what)
    try:
        return fetch(False)
    except OSError as error:
        raise MissingWeights(what, constants.ENDPOINT, constants.HF_HUB_CACHE, _first_line(error)) from error


def _ask_hub(what: str) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise MissingWeights(what, constants.ENDPOINT, constants.HF_HUB_CACHE, "HF_HUB_OFFLINE is set")
    ask(constants.ENDPOINT, what, constants.HF_HUB_CACHE)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
