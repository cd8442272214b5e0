"""The multipliers and what stands around them as hardware, in Amaranth: an optional extra, `pip install hwsim[rtl]`."""

from hwsim.extras import install_command, is_installed

if not is_installed("amaranth"):
    raise ModuleNotFoundError(f"hardware descriptions need the package amaranth: {install_command('amaranth')}")
