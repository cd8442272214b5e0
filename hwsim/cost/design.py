"""One point of hardware: an array of processing elements with its buffers and its memory."""

import math
from dataclasses import dataclass

from hwsim.cost.systolic import DATAFLOWS
from hwsim.cost.technology import Technology
from hwsim.cost.throughput import STYLES
from hwsim.errors import unknown_name

KIB = 8 * 1024  #: Bits of a KiB.
#: Where the energy of products and sums comes from.
ARITHMETICS = {
    "operations": "a table of energies, operation by operation",
    "gates": "switching of the synthesised processing element that the products need",
}
DEFAULT_CLOCK_MHZ = 500.0
#: Dataflows of the arrays of `hwsim.rtl.systolic`.
DATAFLOWS_OF_RTL = ("os", "ws")
LARGEST = 1 << 20  #: No size of a design exceeds it, so that all counts fit 64 bits.


@dataclass(frozen=True)
class Design:
    """An array of rows x columns processing elements, three on-chip buffers, and DRAM.

    dataflow: what stays in the array: `os` outputs, `ws` weights, `is` inputs. style: how products depend on widths
    (`hwsim.cost.throughput`). arithmetic: where the energy of products and sums comes from: `operations`, the table of
    the technology, or `gates`, synthesised processing elements (`hwsim.cost.gate_array`), which have an area, too, make
    one product per cycle (`native`), and stand in the dataflows `os` and `ws`; memories are the technology's in both.
    Buffers are in KiB, the bandwidth of the DRAM in bits per cycle. clock_mhz: None is 500 MHz, of gates what the
    slowest element allows.

    Raises:
        ValueError: a size that is not in 1..2^20, an unknown dataflow, style, arithmetic or technology, or a style or a
            dataflow that gates do not have.
    """

    rows: int = 32
    columns: int = 32
    dataflow: str = "os"
    style: str = "native"
    input_kib: int = 64
    weight_kib: int = 64
    output_kib: int = 64
    dram_bits_per_cycle: int = 128
    clock_mhz: float | None = None
    technology: str = "horowitz2014"
    arithmetic: str = "operations"

    def __post_init__(self) -> None:
        for field in ("rows", "columns", "input_kib", "weight_kib", "output_kib", "dram_bits_per_cycle"):
            size = getattr(self, field)
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{field} of an array must be an integer of at least 1, got {size!r}")
            if size > LARGEST:
                raise ValueError(f"{field} of an array must be at most {LARGEST}, got {size}")
        if self.clock_mhz is not None and not 0 < self.clock_mhz < math.inf:
            raise ValueError(f"clock_mhz must be above 0 and finite, got {self.clock_mhz}")
        for what, name, known in (
            ("dataflow", self.dataflow, DATAFLOWS),
            ("style of processing element", self.style, STYLES),
            ("arithmetic", self.arithmetic, ARITHMETICS),
        ):
            if name not in known:
                raise unknown_name(what, name, known)
        if self.arithmetic == "gates":
            self._check_gates()
        _ = Technology(self.technology)

    def _check_gates(self) -> None:
        if self.style != "native":
            raise ValueError(
                f"arithmetic gates has elements that make one product per cycle, style native, got {self.style}"
            )
        if self.dataflow not in DATAFLOWS_OF_RTL:
            raise ValueError(
                f"arithmetic gates has arrays of dataflow {' and '.join(DATAFLOWS_OF_RTL)} (hwsim.rtl.systolic), got "
                f"{self.dataflow}"
            )

    @property
    def name(self) -> str:
        """The design in one word, e.g. `32x32-os-native`, with `-gates` behind it if its arithmetic is synthesised."""
        gates = "-gates" if self.arithmetic == "gates" else ""
        return f"{self.rows}x{self.columns}-{self.dataflow}-{self.style}{gates}"


def parse_array(text: str) -> tuple[int, int]:
    """Return (rows, columns) of a text such as `32x32`.

    Raises:
        ValueError: the text is not of that form.
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"an array is written ROWSxCOLUMNS, e.g. 32x32, got {text!r}")
    return int(parts[0]), int(parts[1])
