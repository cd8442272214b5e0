"""POST: weights that are zero or signed powers of the square root of two; a product is a shift or a table read.

Levels alpha * {0, ±sqrt2^-(F-1), ..., ±sqrt2^-1, ±1} with F = 2^(b-1)-1, so that sign and exponent fit b bits
(ASQ + POST, arXiv:2504.17263, eq. 17). Projection, gradients and start: `trainers.quantizers.levels`.

Differs: the equation's set, and the code's, also has ±sqrt2^-F, 2^b + 1 levels in all, which b bits cannot code; it is
the option `extended`, which takes one more bit.
"""

from typing import ClassVar

from trainers.quantizers.levels import LevelQuantizer


class PostQuantizer(LevelQuantizer):
    """Power-of-sqrt-two weights with a learned clipping point."""

    family: ClassVar[str] = "post"
