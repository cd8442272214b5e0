"""Amaranth's own simulator: always there, some thousand evaluations of an element per second."""

from collections.abc import Callable, Mapping

from amaranth.lib.wiring import Out
from amaranth.sim import Simulator, SimulatorContext

from hwsim.rtl.simulators.ports import ports
from hwsim.rtl.unit import Unit


def run(unit: Unit, respond: Callable[[Mapping[str, int]], Mapping[str, int] | None], clocked: bool) -> None:
    """Run the circuit, as `hwsim.rtl.simulators.simulate` says."""
    outputs = ports(unit, Out)

    async def bench(ctx: SimulatorContext) -> None:
        while (inputs := respond({name: ctx.get(port) for name, port in outputs.items()})) is not None:
            for name, value in inputs.items():
                ctx.set(getattr(unit, name), value)
            if clocked:
                await ctx.tick()

    simulator = Simulator(unit)
    if clocked:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
