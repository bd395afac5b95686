"""Published weights: looked for on this machine first, then asked for once, so that being offline is said at once."""

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
"""Seconds in which a host must answer at all."""

Result = TypeVar("Result")


def ask(url: str, what: str, place: str | Path) -> None:
    """See whether the host of `url` answers, before anything waits for it and tries again.

    Parameters
    ----------
    url : str
        What is asked for, without its content.
    what : str
        What would be fetched; for the message.
    place : str or Path
        Where it would be kept; for the message.

    Raises
    ------
    MissingWeights
        When nobody answers.
    """
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "phosphene"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass
    except urllib.error.HTTPError:
        return  # somebody answers; whether the file is given shows when it is fetched
    except (OSError, http.client.HTTPException) as error:
        raise MissingWeights(what, url, str(place), str(getattr(error, "reason", error))) from error


def in_torch_cache(url: str) -> Path:
    """Where PyTorch keeps, or would keep, the file of that URL; when it is not there, its host answers.

    Raises
    ------
    MissingWeights
        When the file is not there and nobody answers.
    """
    import torch.hub

    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2].partition("?")[0]
    if not place.exists():
        ask(url, place.name, place)
    return place


def from_hub(repository: str, files: Sequence[str]) -> Path:
    """The first of `files` that a repository of the Hugging Face hub has.

    Parameters
    ----------
    repository : str
        ``owner/name``, or ``owner/name@revision``.
    files : sequence of str
        In the order in which they are preferred.

    Returns
    -------
    Path
        Of the file in the hub's cache.

    Raises
    ------
    MissingWeights
        When it is not in the cache and cannot be fetched.
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
    """``fetch(True)``, which may only look at this machine, and where that finds nothing ``fetch(False)``, once.

    Parameters
    ----------
    what : str
        What would be fetched; for the message.
    fetch : callable
        Takes whether to stay on this machine; raises OSError where it finds nothing.

    Raises
    ------
    MissingWeights
        When neither finds it.
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
