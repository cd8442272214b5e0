"""Synthesis: Verilog to what one flow measures, kept in a cache by content."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hwsim.errors import unknown_name
from hwsim.files import read_json, write_json
from hwsim.synthesis.flows import FLOWS, Flow, Measures
from hwsim.synthesis.yosys import Yosys, find_yosys

CACHE_VARIABLE = "HWSIM_CACHE_DIR"

END = "opt_clean -purge\ntee -q -o cells.json stat -json\nselect {top}\nwrite_json -selected netlist.json\n"


@dataclass(frozen=True)
class Mapped:
    """A circuit mapped by one flow: what was measured, the mapped netlist as Yosys' JSON, and by which version."""

    measures: Measures
    netlist: str
    version: str


def synthesise(verilog: str, top: str, flow: str, yosys: Yosys | None = None) -> Mapped:
    """Return a module mapped by one of `FLOWS`; what was mapped before is read from the user's cache.

    Raises:
        ValueError: the flow is unknown.
        YosysError: there is no Yosys, or it failed; nothing is cached then.
    """
    if flow not in FLOWS:
        raise unknown_name("synthesis flow", flow, FLOWS)
    tool = yosys or find_yosys()
    script = f"read_verilog -sv design.v\nhierarchy -check -top {top}\n{(FLOWS[flow].script + END).format(top=top)}"
    file = cache_folder() / f"{_key(verilog, script, FLOWS[flow], tool)}.json"
    if file.is_file():
        values: dict[str, Any] = read_json(file)
        return Mapped(**values)
    mapped = _run(verilog, top, script, FLOWS[flow], tool)
    write_json(file, {"measures": dict(mapped.measures), "netlist": mapped.netlist, "version": mapped.version})
    return mapped


def cache_folder() -> Path:
    """Return where results are kept: HWSIM_CACHE_DIR, or hwsim/synthesis in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim"
    return (Path(chosen) if chosen else home) / "synthesis"


def _run(verilog: str, top: str, script: str, flow: Flow, tool: Yosys) -> Mapped:
    counted, netlist = tool.run(script, {"design.v": verilog, **flow.files()}, ["cells.json", "netlist.json"])
    return Mapped(flow.measure(_count(counted, top), netlist, top), netlist, tool.version)


def _count(text: str, top: str) -> dict[str, int]:
    module = json.loads(text)["modules"][f"\\{top}"]
    return {kind: number for kind, number in module.get("num_cells_by_type", {}).items() if kind != "$scopeinfo"}


def _key(verilog: str, script: str, flow: Flow, tool: Yosys) -> str:
    parts = (verilog, script, *(f"{name}\n{text}" for name, text in flow.files().items()), tool.version, _measuring())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _measuring() -> str:
    """Return the text of the files that measure netlists: what they say changes with them."""
    files = (Path(__file__).with_name(name) for name in ("flows.py", "timing.py", "netlist.py", "sky130.csv"))
    return "".join(file.read_text(encoding="utf-8") for file in files)
