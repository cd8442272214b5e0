"""How kernels are compiled: without the interpreter's lock, and kept on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

_P = ParamSpec("_P")
_T = TypeVar("_T")


def kernel(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return the function compiled by numba on its first call; its machine code is cached beside its source."""
    compiled: Callable[_P, _T] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled


def kernel_from(*modules: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Return `kernel` for functions that call the intrinsics of these modules beside this one.

    numba compiles a cached function again if its own file changes, and knows nothing of the files that it imports: they
    are told to it as part of that file's stamp.
    """
    files = [(Path(__file__).parent / f"{name}.py").stat() for name in modules]

    def compiled(function: Callable[_P, _T]) -> Callable[_P, _T]:
        dispatcher: Any = kernel(function)
        index = dispatcher._cache._cache_file
        index._source_stamp = (index._source_stamp, *((file.st_mtime, file.st_size) for file in files))
        return dispatcher  # type: ignore[no-any-return]

    return compiled
