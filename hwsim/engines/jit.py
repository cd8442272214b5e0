"""How kernels are compiled: without the interpreter's lock, and kept on disk."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

_P = ParamSpec("_P")
_T = TypeVar("_T")


def kernel(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return the function compiled by numba on its first call; its machine code is cached beside its source."""
    compiled: Callable[_P, _T] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled
