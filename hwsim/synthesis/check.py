"""A mapped netlist against the simulator's arithmetic: products of all codes, sums in every mode of the element."""

from collections.abc import Mapping

import numpy as np

from hwsim.accumulator import Accumulator
from hwsim.arithmetic import IntArray, fit, register_range
from hwsim.errors import CheckFailedError
from hwsim.multipliers import Multiplier
from hwsim.synthesis.evaluate import Nets, bits_of, evaluate, run, word
from hwsim.synthesis.hardware import Mappable
from hwsim.synthesis.netlist import Netlist

Ports = Mapping[str, IntArray]

CYCLES, STREAMS = 48, 192  #: Length and number of the streams that an element is checked on.
#: How often each control input of an element is 1.
CONTROLS = {"enable": 7 / 8, "clear": 1 / 12, "rst": 1 / 24}


class WrongNetlistError(CheckFailedError):
    """A mapped circuit computes something else than the simulator."""


def check_netlist(netlist: Netlist, circuit: Mappable) -> None:
    """Compare a netlist of standard cells with the simulator's arithmetic.

    A multiplier: on all pairs of codes, used or not. A processing element: in every cycle of random streams of codes,
    with enable, clear and reset at random; the register begins at 0, at and near the ends of its range, and at random
    numbers of all magnitudes, so that the highest bits, and what happens on overflow, are seen.

    Raises:
        WrongNetlistError: they differ; the message names the first inputs.
    """
    if circuit.accumulator is None:
        _check_products(netlist, circuit.name, circuit.multiplier)
    else:
        _check_sums(netlist, circuit.name, circuit.multiplier, circuit.accumulator)


def _check_products(netlist: Netlist, name: str, multiplier: Multiplier) -> None:
    expected = multiplier.table()
    w, a = np.meshgrid(*map(np.arange, expected.shape), indexing="ij")
    found = evaluate(netlist, {"w": w, "a": a}, signed=("product",))["product"]
    _compare(name, found, expected, {"w": w, "a": a})


def _check_sums(netlist: Netlist, name: str, multiplier: Multiplier, accumulator: Accumulator) -> None:
    inputs = _streams(multiplier)
    sums = netlist.outputs["sum"]
    begin = _states(netlist, _first_sums(accumulator.bits))
    ports = {port: inputs.get(port, np.zeros_like(inputs["w"])) for port in netlist.inputs}
    found = np.stack([word(nets, sums, signed=True) for nets in run(netlist, ports, begin)])
    expected = _expected_sums(multiplier, accumulator, inputs, found[0])
    cycles = slice(0, -1)  # the register shows a sum one cycle later
    _compare(name, found[1:], expected[cycles], {port: values[cycles] for port, values in inputs.items()})


def _streams(multiplier: Multiplier) -> Ports:
    """Return random inputs of an element, each of shape (CYCLES, STREAMS); the same whenever they are asked for."""
    generator, shape = np.random.default_rng(1), (CYCLES, STREAMS)
    formats = {"w": multiplier.weight, "a": multiplier.activation}
    codes = {port: generator.integers(0, 1 << fmt.code_bits, shape) for port, fmt in formats.items()}
    return codes | {port: (generator.random(shape) < share).astype(np.int64) for port, share in CONTROLS.items()}


def _first_sums(bits: int) -> IntArray:
    """Return what the registers of the streams begin with, shape (STREAMS,)."""
    low, high = register_range(bits)
    edges = np.array([0, -1, low, low + 1, high - 1, high])
    generator, count = np.random.default_rng(2), STREAMS - len(edges)
    magnitudes = generator.integers(low, high, count, endpoint=True) >> generator.integers(0, bits, count)
    return np.concatenate([edges, magnitudes])


def _states(netlist: Netlist, sums: IntArray) -> Nets:
    """Return the registers that show these sums; bits of the sum that no register drives stay as they are."""
    registers, bits = {register.output for register in netlist.registers}, netlist.outputs["sum"]
    return {net: bit for net, bit in zip(bits, bits_of(sums, len(bits)), strict=True) if net in registers}


def _expected_sums(multiplier: Multiplier, accumulator: Accumulator, inputs: Ports, first: IntArray) -> IntArray:
    """Return the register after each cycle: the rule of `hwsim.rtl.processing_element`, reset to 0 by rst."""
    mode = "saturate" if accumulator.overflow == "saturate" else "wrap"
    products = multiplier.table()[inputs["w"], inputs["a"]] * inputs["enable"]
    sums, register = [], first
    for product, clear, reset in zip(products, inputs["clear"], inputs["rst"], strict=True):
        total = np.where(clear, 0, register) + product
        register = np.where(reset, 0, fit(total, accumulator.bits, mode))
        sums.append(register)
    return np.stack(sums)


def _compare(name: str, found: IntArray, expected: IntArray, inputs: Ports) -> None:
    wrong = np.argwhere(found != expected)
    if len(wrong):
        place = tuple(wrong[0])
        values = ", ".join(f"{port}={int(values[place])}" for port, values in inputs.items())
        raise WrongNetlistError(
            f"{name}: the netlist differs from the simulator in {len(wrong)} of {found.size} places, first at "
            f"{values}: {found[place]} instead of {expected[place]}"
        )
