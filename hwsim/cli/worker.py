"""`hwsim worker`: one of the machines that share the jobs of a folder."""

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.verbosity import note


def worker(
    folder: Annotated[Path, typer.Argument(help="The folder that was given to --queue, as this machine sees it.")],
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End when every job has a result.")] = False,
    threads: Annotated[
        int | None, typer.Option(help="Threads of this worker's arithmetic (default: all cores).", min=1)
    ] = None,
) -> None:
    """Run the jobs of a shared folder, as they come, until interrupted.

    Start one on each machine, before or after the command that has the
    jobs. One that ends or dies loses at most the job that it was at, which
    another takes over a minute later.

    Example: hwsim worker /mnt/shared/queue
    """
    from hwsim.executor import limit_threads
    from hwsim.job_queue import JobQueue

    if threads is not None:
        limit_threads(threads)
    JobQueue(folder).work(until_empty, lambda job: note(f"job {job} is done"))
