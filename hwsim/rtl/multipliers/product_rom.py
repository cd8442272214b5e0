"""Any product table as logic: an approximate circuit that is known by its table, or the papers' literal table."""

from amaranth.hdl import Cat, Module, Value, signed

from hwsim.rtl.lookup import lookup
from hwsim.rtl.multipliers.circuit import MultiplierCircuit


class ProductRomCircuit(MultiplierCircuit):
    """Product table: one entry for each pair of codes, address {w, a}, as logic."""

    def multiply(self, m: Module) -> Value:
        """Return the entry of the pair of codes."""
        table = self.multiplier.table().reshape(-1)
        return lookup(m, "entry", Cat(self.a, self.w), table, signed(self.product_bits))
