"""The IDX format of MNIST's files: a magic number with type and rank, the sizes, and the bytes; all big-endian."""

import gzip
import math
import zlib

import numpy as np
import numpy.typing as npt

UNSIGNED_BYTE = 8  #: The type's code in the third byte.


def parse_idx(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Return the array of unsigned bytes in an IDX file, gzipped or not; `name` is for errors.

    Raises:
        ValueError: the content is not a whole IDX file of unsigned bytes.
    """
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{name} is not a whole gzip file: {error}") from error
    if len(content) < 4 or content[:3] != bytes((0, 0, UNSIGNED_BYTE)):
        raise ValueError(f"{name} must begin with the bytes 0, 0, 8 of unsigned IDX data, got {[*content[:3]]}")
    rank, start = content[3], 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"{name} must hold {rank} sizes of 4 bytes, but ends after {len(content)} bytes")
    sizes = np.frombuffer(content, ">u4", rank, 4).tolist()
    if len(content) - start != math.prod(sizes):
        rule = f"{math.prod(sizes)} bytes of data for the sizes {sizes}"
        raise ValueError(f"{name} must hold {rule}, got {len(content) - start}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes).copy()  # writable, as torch wants it
