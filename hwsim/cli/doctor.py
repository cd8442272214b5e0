"""`hwsim doctor`: what is installed here, what of it works, and what is missing."""

from collections.abc import Callable, Iterator
from dataclasses import asdict

from hwsim.cli.installation import (
    BROKEN,
    Finding,
    caches,
    cuda_devices,
    engine_paths,
    processor,
    programs,
    versions,
)
from hwsim.cli.options import FormatOption, Output
from hwsim.cli.progress import progress
from hwsim.cli.verbosity import detail


def doctor(output: FormatOption = Output.table) -> None:
    """Say what is installed, which engine paths this machine takes, what is missing, and whether the engines agree.

    A small network with every kind of circuit runs on each engine; all
    tensors and counts of overflows must equal the reference engine's, bit by
    bit. Of optional parts the table has the command that installs them.

    Exits with code 1 if something is broken.

    Example: hwsim doctor --format json
    """
    from hwsim.errors import CheckFailedError
    from hwsim.output import write

    looks = {"versions": versions, "processor": processor, "engines": engine_paths, "programs": programs}
    looks |= {"caches": caches, "check": agreement}
    findings = [finding for area, look in looks.items() for finding in found_by(area, look)]
    write([asdict(finding) for finding in findings], output.value, title="This installation of hwsim")
    broken = [finding.part for finding in findings if finding.state == BROKEN]
    if broken:
        raise CheckFailedError(f"this installation does not work: {', '.join(broken)}")


def found_by(area: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what a look at an area finds; where it fails, as without a needed package, that the area is broken."""
    try:
        yield from look()
    except Exception as error:  # whatever it is, the other areas are to be looked at, too
        yield Finding(area, area, f"{type(error).__name__}: {error}", BROKEN)


def agreement() -> Iterator[Finding]:
    """Yield, for each engine that is installed, whether it equals the reference engine on this machine."""
    from hwsim.engines.self_check import LAYERS, check_engine, present_engines
    from hwsim.engines.simulate import DEVICES

    engines = [*present_engines(), *(DEVICES if cuda_devices() else ())]
    with progress("checking", len(engines), "engines") as advance:
        for done, engine in enumerate(engines, 1):
            try:
                result = check_engine(engine)
            except Exception as error:  # whatever it is, the engine does not work here
                yield Finding("check", f"{engine} engine", f"{type(error).__name__}: {error}", BROKEN)
            else:
                for layer, path in result.paths.items():
                    detail(f"{engine} engine, {layer}: {path}")
                found = f"equals the reference engine in {len(LAYERS)} kinds of layer"
                yield Finding("check", f"{engine} engine", found)
            advance(done, engine)
