"""How much of a difference between circuits is the mapper's: area and delay relative to uniform, by six ABC scripts.

Each circuit is mapped to the standard cells by the shipped script and by five others, two of which map for delay.
Within a script a circuit is compared with the smallest, and the fastest, of the three uniform ones (array, Booth,
Yosys' own). A table in Markdown goes to stdout: the lowest and the highest ratio over the scripts.

    python benchmarks/mapping_spread.py
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

from hwsim.output import write
from hwsim.synthesis.circuits import Circuit
from hwsim.synthesis.flows import ABC_SCRIPT, FLOWS
from hwsim.synthesis.hardware import TOP, circuit_rtlil
from hwsim.synthesis.mapping import synthesise

#: Scripts of ABC by name; the last two map for delay.
SCRIPTS = {
    "shipped": ABC_SCRIPT,
    "dc2, amap -m": "strash\ndc2\ndc2\nstrash\ndch -f\namap -m\n",
    "resyn2, amap": "strash\nbalance\nrewrite\nrefactor\nbalance\nrewrite\nrewrite -z\nbalance\nrefactor -z\n"
    "rewrite -z\nbalance\ndch -f\namap\n",
    "dch, map -a": "strash\nscorr\ndc2\nstrash\ndch -f\nmap -a\n",
    "dch, map": "strash\nscorr\ndc2\nstrash\ndch -f\nmap\n",
    "if -g, amap": "strash\nifraig\nscorr\ndc2\nif -g -K 6\nstrash\ndch -f\namap\n",
}
UNIFORM = ("uniform", "booth", "inferred")


def circuits(bits: int, act_bits: int, unit: str) -> list[Circuit]:
    """Return the uniform circuits and the others of these widths."""
    plain = [Circuit(kind, bits, act_bits, unit) for kind in (*UNIFORM, "pot", "apot")]
    return plain + [Circuit("post", bits, act_bits, unit, k, "shared") for k in (0, 2, 6)]


#: Circuits that are compared with each other; in the last group all have 31 or 32 levels of the weight.
GROUPS = {
    "4 bits, multiplier": circuits(4, 4, "multiplier"),
    "4 bits, element": circuits(4, 4, "pe"),
    "8 bits, element": circuits(8, 8, "pe"),
    "32 levels, 8-bit activations, element": [
        *(Circuit(kind, 5, 8, "pe") for kind in (*UNIFORM, "pot")),
        Circuit("pot", 8, 8, "pe"),
    ],
}


def measured(circuit: Circuit, script: str) -> tuple[float, float]:
    """Return area and delay of a circuit mapped by one of `SCRIPTS`."""
    flow = f"sky130, {script}"
    files = {**FLOWS["sky130"].files(), "cells.abc": SCRIPTS[script]}
    FLOWS[flow] = replace(FLOWS["sky130"], files=lambda: files)
    measures = synthesise(circuit_rtlil(circuit), TOP, flow, language="rtlil").measures
    return measures["area"], measures["delay"]


def spread(title: str, group: Sequence[Circuit]) -> list[dict[str, str]]:
    """Return a row per circuit: its ratios to the best uniform one, lowest and highest over the scripts."""
    ratios: dict[str, list[tuple[float, float]]] = {circuit.name: [] for circuit in group}
    for script in SCRIPTS:
        found = {circuit.name: measured(circuit, script) for circuit in group}
        uniform = [found[circuit.name] for circuit in group if circuit.kind in UNIFORM]
        area, delay = min(a for a, _ in uniform), min(d for _, d in uniform)
        for name, (its_area, its_delay) in found.items():
            ratios[name].append((its_area / area, its_delay / delay))
        print(f"{title}: {script}", file=sys.stderr)
    return [
        {"group": title, "circuit": name}
        | {
            quantity: f"{min(values):.2f} to {max(values):.2f}"
            for quantity, values in zip(("area", "delay"), zip(*pairs, strict=True), strict=True)
        }
        for name, pairs in ratios.items()
    ]


def main() -> None:
    """Map everything and print the table."""
    write([row for title, group in GROUPS.items() for row in spread(title, group)], "markdown")


if __name__ == "__main__":
    main()
