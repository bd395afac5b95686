"""Protection of the thread pool settings of other libraries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = ["threads_kept"]


@contextlib.contextmanager
def threads_kept() -> Iterator[None]:
    """Restore the sizes of all thread pools on exit.

    When Numba first runs a parallel function, as in UMAP and PyNNDescent, it sets the number of OpenMP threads to the number of
    cores, overriding ``OMP_NUM_THREADS`` and ``torch.set_num_threads``. PyTorch shares that pool, and would sum in another order
    afterwards.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # it comes with scikit-learn, on which the libraries with such pools depend
        yield
        return
    with threadpool_limits(limits=None):
        yield
