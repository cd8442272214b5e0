"""Systolic arrays: processing elements in rows and columns, what keeps them fed, and the counters that drive them."""

from hwsim.accumulator import Accumulator
from hwsim.errors import unknown_name
from hwsim.multipliers import Multiplier
from hwsim.rtl.systolic.array import SystolicArray
from hwsim.rtl.systolic.output_stationary import OutputStationaryArray
from hwsim.rtl.systolic.weight_stationary import WeightStationaryArray

__all__ = ["ARRAYS", "SystolicArray", "systolic_array"]

#: Array circuits by dataflow, named as in `hwsim.cost.systolic.DATAFLOWS`.
ARRAYS: dict[str, type[SystolicArray]] = {"os": OutputStationaryArray, "ws": WeightStationaryArray}


def systolic_array(
    multiplier: Multiplier,
    accumulator: Accumulator,
    rows: int,
    columns: int,
    dataflow: str = "os",
    style: str | None = None,
) -> SystolicArray:
    """Return an array of rows x columns elements. style: of its multipliers, as `circuit_for` takes it.

    Raises:
        ValueError: an unknown dataflow or style, or sizes outside 1..64.
    """
    if dataflow not in ARRAYS:
        raise unknown_name("dataflow of a systolic array", dataflow, ARRAYS)
    return ARRAYS[dataflow](multiplier, accumulator, rows, columns, style)
