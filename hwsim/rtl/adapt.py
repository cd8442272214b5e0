"""ASQ's adapter in simulation: the beta of each sample."""

from collections.abc import Mapping

import numpy as np

from hwsim.arithmetic import IntArray
from hwsim.rtl.adapter import AdapterCircuit
from hwsim.rtl.simulators import simulate


def betas_by_circuit(circuit: AdapterCircuit, sums: IntArray, simulator: str = "amaranth") -> IntArray:
    """Return beta (N, 1) of the channels' sums (N, C), offered one after the other whenever the circuit is ready.

    Raises:
        ValueError: an unknown simulator.
        OSError: the simulator needs a program that is absent or failed.
    """
    offered = iter(sums.ravel().tolist())
    betas: list[int] = []

    def respond(outputs: Mapping[str, int]) -> Mapping[str, int] | None:
        if outputs["done"]:
            betas.append(outputs["beta"])
        if len(betas) == len(sums):
            return None
        taken = next(offered, None) if outputs["ready"] else None
        return {"valid": 0} if taken is None else {"valid": 1, "sum": taken}

    simulate(circuit, respond, simulator)
    return np.array(betas, dtype=np.int64).reshape(-1, 1)
