"""Sums rescaled by the simulated requantizer, as the nodes Rescale and AdaptiveRescale do."""

from collections.abc import Mapping

import numpy as np

from hwsim.arithmetic import IntArray, bits_for
from hwsim.errors import check_integer
from hwsim.nodes import AdaptiveRescale, Rescale
from hwsim.rtl.beta_product import BetaProductCircuit
from hwsim.rtl.requantizer import RequantizerCircuit
from hwsim.rtl.simulators import simulate
from hwsim.rtl.unit import Unit


def rescaled_by_circuit(
    node: Rescale, sums: IntArray, beta: IntArray | None, bits: tuple[int, int], simulator: str = "amaranth"
) -> IntArray:
    """Return the sums on the datapath, shape (M, N), as the requantizer's circuit computes them.

    sums: shape (M, N). beta: of each position, shape (M,); None unless the node is adaptive, whose multipliers then are
    the product circuit's. bits: of the accumulator and of the datapath.

    Raises:
        ValueError: a bias beyond the datapath, which the circuit's port does not take.
    """
    channels = np.broadcast_to(node.bias, sums.shape)
    check_integer(
        f"bits of the bias of {node.name!r}", bits_for(int(node.bias.min()), int(node.bias.max())), 1, bits[1]
    )
    multiplier, shift = (
        np.broadcast_to(part, sums.shape) for part in (node.requantizer.multiplier, node.requantizer.shift)
    )
    if isinstance(node, AdaptiveRescale) and beta is not None:
        operands = {"multiplier": multiplier, "beta": np.broadcast_to(beta[:, None], sums.shape)}
        multiplier = evaluate(BetaProductCircuit(node.beta_bits), operands, "product", simulator)
    circuit = RequantizerCircuit(*bits, rounding=node.requantizer.rounding)
    inputs = {"x": sums, "multiplier": multiplier, "shift": shift, "bias": channels}
    return evaluate(circuit, inputs, "y", simulator)


def evaluate(unit: Unit, inputs: Mapping[str, IntArray], output: str, simulator: str = "amaranth") -> IntArray:
    """Return an output of a circuit without registers for each set of inputs; all arrays have the same shape."""
    rows = zip(*(values.ravel().tolist() for values in inputs.values()), strict=True)
    seen: list[int] = []

    def respond(outputs: Mapping[str, int]) -> Mapping[str, int] | None:
        seen.append(outputs[output])
        row = next(rows, None)
        return None if row is None else dict(zip(inputs, row, strict=True))

    simulate(unit, respond, simulator, clocked=False)
    shape = next(iter(inputs.values())).shape
    return np.array(seen[1:], dtype=np.int64).reshape(shape)
