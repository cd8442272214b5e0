"""Integer x integer as one operator: synthesis chooses the circuit."""

from amaranth.hdl import Module, Value

from hwsim.rtl.decoder import level
from hwsim.rtl.multipliers.circuit import MultiplierCircuit


class InferredCircuit(MultiplierCircuit):
    """Multiplication operator: what multiplies is left to synthesis, which may take a DSP block of an FPGA."""

    def multiply(self, m: Module) -> Value:
        """Return the product of the levels."""
        weight = level(m, "w_level", self.multiplier.weight, self.w)
        return weight * level(m, "a_level", self.multiplier.activation, self.a)
