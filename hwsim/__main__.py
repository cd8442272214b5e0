"""`python -m hwsim`, as `torchrun -m hwsim` needs it."""

from hwsim.cli import main

main()
