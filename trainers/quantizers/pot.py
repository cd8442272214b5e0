"""POT: weights that are zero or signed powers of two, so that a product is a shift.

Levels alpha * {0, ±2^-(F-1), ..., ±2^-1, ±1} with F = 2^(b-1)-1, so that sign and exponent fit b bits (Li et
al., arXiv:1909.13144, eq. 2). Projection, gradients and start: `trainers.quantizers.levels`.

Differs: the equation's set also has ±2^-F, 2^b + 1 levels in all, which b bits cannot code; it is the option
`extended`, which takes one more bit. There is no weight normalisation, as in the released code of ASQ
(arXiv:2504.17263).
"""

from typing import ClassVar

from trainers.quantizers.levels import LevelQuantizer


class PotQuantizer(LevelQuantizer):
    """Power-of-two weights with a learned clipping point."""

    family: ClassVar[str] = "pot"
