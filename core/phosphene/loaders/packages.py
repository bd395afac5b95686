"""Import the packages that a loader needs, with one clear error if that fails."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator

from phosphene.errors import MissingDependency, PhospheneError

__all__ = ["UnusablePackage", "importing"]


class UnusablePackage(MissingDependency):
    """A package that a loader needs is not installed, or cannot be imported as it is installed.

    Parameters
    ----------
    detail : str
        The problem and how to fix it.
    """

    def __init__(self, detail: str) -> None:
        PhospheneError.__init__(self, detail)


@contextlib.contextmanager
def importing(package: str, scheme: str) -> Iterator[None]:
    """A context in which `package` is imported; exceptions become one `UnusablePackage`.

    Parameters
    ----------
    package : str
        Name of the distribution and of the import.
    scheme : str
        The prefix of the name, for the error message.

    Raises
    ------
    UnusablePackage
        If the package or one that it needs is not installed, or does not fit the installed PyTorch.
    """
    for needed in ("torch", package):
        if needed not in sys.modules and importlib.util.find_spec(needed) is None:
            raise UnusablePackage(
                f"'{scheme}:' needs {needed}, which is not installed. Install it with: pip install {needed}"
            )
    try:
        yield
    except (ImportError, RuntimeError, AttributeError) as error:
        if isinstance(error, PhospheneError):
            raise
        raise UnusablePackage(_reason(error, package, scheme)) from error


def _reason(error: BaseException, package: str, scheme: str) -> str:
    causes = list(_chain(error))
    missing = next((e.name for e in causes if isinstance(e, ModuleNotFoundError) and e.name), None)
    if missing is not None and importlib.util.find_spec(missing.partition(".")[0]) is None:
        name = missing.partition(".")[0]
        return f"'{scheme}:' needs {package}, which needs {name}, which is not installed. Install it with: pip install {name}"
    text = str(causes[-1])
    if any("torchvision::" in str(cause) for cause in causes):
        return (
            f"'{scheme}:' needs {package}, and the installed torchvision does not fit the installed torch ({text}). "
            "Install matching versions: pip install --upgrade torch torchvision"
        )
    return (
        f"'{scheme}:' needs {package}, which is installed but cannot be imported ({text}). "
        f"Reinstall it: pip install --upgrade {package}"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    step: BaseException | None = error
    while step is not None:
        yield step
        step = step.__cause__ or step.__context__
