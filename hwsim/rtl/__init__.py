"""The multipliers and what stands around them as hardware, in Amaranth: an optional extra, `pip install hwsim[rtl]`."""

from importlib.util import find_spec

if find_spec("amaranth") is None:
    raise ModuleNotFoundError("hardware descriptions need the package amaranth: pip install 'hwsim[rtl]'")
