"""The ports of a circuit."""

from amaranth.hdl import Value
from amaranth.lib.wiring import Flow

from hwsim.rtl.unit import Unit


def ports(unit: Unit, flow: Flow) -> dict[str, Value]:
    """Return the inputs (flow In) or outputs (flow Out) of a circuit by name."""
    return {name: getattr(unit, name) for name, member in unit.signature.members.items() if member.flow == flow}
