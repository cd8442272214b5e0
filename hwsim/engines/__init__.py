"""Interpreters of the integer network, equal to the last bit. One engine per file, imported when first used."""

from hwsim.engines.simulate import ENGINES, Simulation, simulate

__all__ = ["ENGINES", "Simulation", "simulate"]
