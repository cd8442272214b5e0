"""What the registry and the docstrings say of every method: widths, formats, levels, parameters, options, source.

A method's docstring has a fixed structure: "NAME: summary.", paragraphs with the equations and their source, and one
paragraph that begins with "Differs:".
"""

import re
from dataclasses import dataclass
from inspect import cleandoc, getmodule
from itertools import pairwise

import torch

from trainers.quantizers import QUANTIZERS, ROLES, Quantizer, make_quantizer, method_options

CHANNELS = 16  #: Input and output channels of the layer whose parameters are counted.
COUNTED_BITS = (2, 3, 4)  #: Widths at which levels are counted.
SHOWN_BITS = 3  #: Width at which all levels are listed.


@dataclass(frozen=True)
class MethodFacts:
    """A method in one of its roles. Levels and parameters are those of a quantizer that is not calibrated."""

    method: str
    role: str
    bits: str  #: The widths that it takes without options, such as "2 to 8".
    format: str  #: Family of its levels.
    level_counts: str  #: How many levels at 2, 3 and 4 bits.
    levels: str  #: The levels at 3 bits.
    parameters: str  #: How many numbers of each kind a layer of 16 channels learns.
    options: str  #: Names of its own options.
    source: str  #: The first article that its docstring names, as arXiv:NUMBER.


def methods(role: str) -> list[str]:
    """Return the methods for a role."""
    return [name for name, method in QUANTIZERS.items() if role in method.roles]


def all_facts() -> list[MethodFacts]:
    """Return the facts of every method in each of its roles."""
    return [facts_of(name, role) for role in ROLES for name in methods(role)]


def facts_of(name: str, role: str) -> MethodFacts:
    """Return the facts of one method in one role."""
    made = {bits: make(name, role, bits) for bits in range(1, 9)}
    defined = [bits for bits, quantizer in made.items() if quantizer]
    is_range = defined == list(range(defined[0], defined[-1] + 1))
    shown = made[SHOWN_BITS]
    return MethodFacts(
        name,
        role,
        f"{defined[0]} to {defined[-1]}" if is_range else ", ".join(map(str, defined)),
        shown.format.name if shown else "",
        ", ".join(str(q.format.count) if q else "none" for q in map(made.get, COUNTED_BITS)),
        level_text(shown) if shown else "",
        parameters(shown) if shown else "",
        ", ".join(method_options(QUANTIZERS[name])),
        source(name),
    )


def make(name: str, role: str, bits: int) -> Quantizer | None:
    """Return a quantizer as it is before calibration; None where the method does not define the bits."""
    sizes = {"channels": CHANNELS} if role == "weights" else {"in_channels": CHANNELS}
    with torch.random.fork_rng(devices=[]):
        try:
            return make_quantizer(name, role, bits, signed=role == "weights", **sizes)
        except ValueError:
            return None


def parameters(quantizer: Quantizer) -> str:
    """Return how many numbers of each kind are learned, such as "step 1, adapter 73"."""
    counts: dict[str, int] = {}
    for name, value in quantizer.named_parameters():
        kind = name.partition(".")[0]
        counts[kind] = counts.get(kind, 0) + value.numel()
    return ", ".join(f"{kind} {count}" for kind, count in counts.items()) or "none"


def level_text(quantizer: Quantizer) -> str:
    """Return the levels of a quantizer: their range if they are consecutive integers, else all of them."""
    levels = sorted(float(level) for level in quantizer.format.levels[quantizer.format.codes])
    if all(high - low == 1 for low, high in pairwise(levels)):
        return f"{levels[0]:g} .. {levels[-1]:g}"
    return ", ".join(f"{level:.4g}" for level in levels)


def source(name: str) -> str:
    """Return a method's source: the first article that its docstring names.

    Raises:
        ValueError: it names none.
    """
    found = re.search(r"arXiv:\d{4}\.\d{5}", "\n".join(docstring(name)))
    if found is None:
        raise ValueError(f"the docstring of {name} names no article as arXiv:NUMBER")
    return found[0]


def docstring(name: str) -> list[str]:
    """Return the paragraphs of a method's module."""
    return paragraphs(getmodule(QUANTIZERS[name]))


def paragraphs(module: object) -> list[str]:
    """Return the paragraphs of a module's docstring."""
    return cleandoc(module.__doc__ or "").split("\n\n")
