"""Synthesis: Verilog to what one flow measures, kept in a cache by content."""

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.errors import unknown_name
from hwsim.files import read_json, write_json
from hwsim.synthesis.flows import FLOWS, Flow, Measures
from hwsim.synthesis.yosys import Yosys, find_yosys

log = logging.getLogger(__name__)

CACHE_VARIABLE = "HWSIM_CACHE_DIR"

#: How Yosys reads a circuit in each language.
READERS = {"verilog": "read_verilog -sv design", "rtlil": "read_rtlil design"}
#: What a file of the cache holds.
KEPT = {"count": dict, "netlist": str, "version": str}
END = "opt_clean -purge\ntee -q -o cells.json stat -json\nselect {top}\nwrite_json -selected netlist.json\n"


@dataclass(frozen=True)
class Mapped:
    """A circuit mapped by one flow: what was measured, the mapped netlist as Yosys' JSON, and by which version."""

    measures: Measures
    netlist: str
    version: str


def synthesise(source: str, top: str, flow: str, yosys: Yosys | None = None, *, language: str = "verilog") -> Mapped:
    """Return a module mapped by one of `FLOWS`; what was mapped before is read from the user's cache.

    A damaged file of the cache counts as none.

    source: the text of the module in one of the languages of `READERS`.

    Raises:
        ValueError: the flow or the language is unknown.
        YosysError: there is no Yosys, or it failed; nothing is cached then.
    """
    if flow not in FLOWS:
        raise unknown_name("synthesis flow", flow, FLOWS)
    if language not in READERS:
        raise unknown_name("language of circuits", language, READERS)
    tool = yosys or find_yosys()
    script = f"{READERS[language]}\nhierarchy -check -top {top}\n{(FLOWS[flow].script + END).format(top=top)}"
    file = cache_folder() / f"{_key(source, script, FLOWS[flow], tool)}.json"
    kept = _read_kept(file)
    log.info("%s by flow %s: %s %s", top, flow, "read from the cache," if kept else "mapped, kept in", file)
    if kept is None:
        counted, netlist = tool.run(script, {"design": source, **FLOWS[flow].files()}, ["cells.json", "netlist.json"])
        kept = {"count": _count(counted, top), "netlist": netlist, "version": tool.version}
        write_json(file, kept)
    return Mapped(FLOWS[flow].measure(kept["count"], kept["netlist"], top), kept["netlist"], kept["version"])


def cache_folder() -> Path:
    """Return where results are kept: HWSIM_CACHE_DIR, or hwsim/synthesis in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim"
    return (Path(chosen) if chosen else home) / "synthesis"


def _read_kept(file: Path) -> dict[str, Any] | None:
    """Return what a file of the cache holds, None if there is no such file or a damaged one."""
    try:
        kept = read_json(file)
    except (FileNotFoundError, ValueError):
        return None
    is_whole = all(isinstance(kept.get(name), kind) for name, kind in KEPT.items())
    return kept if is_whole else None


def _count(text: str, top: str) -> dict[str, int]:
    module = json.loads(text)["modules"][f"\\{top}"]
    return {kind: number for kind, number in module.get("num_cells_by_type", {}).items() if kind != "$scopeinfo"}


def _key(source: str, script: str, flow: Flow, tool: Yosys) -> str:
    parts = (source, script, *(f"{name}\n{text}" for name, text in flow.files().items()), tool.version)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
