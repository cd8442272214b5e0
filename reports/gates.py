"""Designs of a study beside the gates of their processing elements."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from statistics import fmean
from typing import Any

from hwsim.cost.gates import GateRow, find_gates
from hwsim.formats import Uniform, make_format
from hwsim.multipliers import multiplier_for
from hwsim.synthesis.circuits import Circuit
from reports.records import Study
from reports.run_groups import RunGroup, study_groups
from reports.statement import statement
from reports.tables.differences import against_uniform, widths

#: Weights whose format has the name of the method.
KINDS = ("uniform", "pot", "post", "apot")
#: Methods whose activations are unsigned uniform codes, which the circuits of the shipped table take.
UNSIGNED_ACTIVATIONS = ("lsq", "asq", "pact", "dorefa")
OF_THEIR_OWN = ("overrides", "multiplier", "weight_options")  #: Settings that change formats or products.
#: What a configuration says of the weights' codes, and of POST's table.
CODES, TABLE = ("exponents", "extended"), ("fraction_bits", "layout")


def element(config: Mapping[str, Any]) -> GateRow | None:
    """Return the processing element that a run's layers between the first and the last need.

    None where the shipped table has no such circuit, or the layers' formats or product tables differ.
    """
    own = config.get("activations", "lsq") not in UNSIGNED_ACTIVATIONS
    if own or config["weights"] not in KINDS or any(config.get(name) for name in OF_THEIR_OWN):
        return None
    codes = {name: config[name] for name in CODES if config.get(name)}
    table = {name: config[name] for name in TABLE if name in config}
    try:
        weight = make_format(config["weights"], config["bits"], **codes)
        multiplier = multiplier_for(weight, Uniform(config["act_bits"], signed=False), **table)
        return find_gates(multiplier, "pe")
    except ValueError:  # a width beyond the table's or the circuits'
        return None


def accuracies(study: Study) -> dict[Circuit, float]:
    """Return the mean integer accuracy, in 0..1, of the designs of a study by their processing element.

    Of several data sets or models, and of several designs with one element, the first in the tables' order is taken.
    """
    known: dict[Circuit, float] = {}
    for group in _groups(study):
        found, measured = element(group.config), group.accuracy("integer")
        if found and measured:
            known.setdefault(found.circuit, fmean(measured.values()))
    return known


def differences(study: Study, bits: Iterable[int]) -> list[str]:
    """Return a sentence for each design of these widths: whether its accuracy differs from the uniform one's."""
    chosen = {(width, width) for width in bits}
    return [
        f"{found.design} against {found.baseline}: {statement(found)}."
        for groups in study_groups(study)
        for found in against_uniform([group for group in groups if widths(group) in chosen])
    ]


def _groups(study: Study) -> Iterator[RunGroup]:
    return chain.from_iterable(study_groups(study))
