"""Thread pools of other libraries, left as they were found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = ["threads_kept"]


@contextlib.contextmanager
def threads_kept() -> Iterator[None]:
    """Put the sizes of all thread pools back on leaving.

    Numba takes as many OpenMP threads as there are cores when it first runs a parallel function, as those of UMAP and PyNNDescent
    are, whatever ``OMP_NUM_THREADS`` or ``torch.set_num_threads`` said; PyTorch shares that pool, and would sum in another order
    from then on.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # It comes with scikit-learn, and so with all that have such pools.
        yield
        return
    with threadpool_limits(limits=None):
        yield
