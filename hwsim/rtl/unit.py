"""What every circuit is: an Amaranth component that can say in words what it computes."""

from abc import abstractmethod

from amaranth.lib import wiring


class Unit(wiring.Component):
    """A circuit with ports, `elaborate` (its logic) and `description` (its words, for the header of its Verilog)."""

    def __del__(self) -> None:
        """Say nothing: Amaranth would warn of each circuit that was measured or described, but never built."""

    @abstractmethod
    def description(self) -> tuple[str, ...]:
        """Return lines that say what the circuit computes, on which formats, in which ranges."""
