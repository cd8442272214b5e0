"""The functions that a job in a shared folder may name: nothing else is ever run from a folder."""

from importlib import import_module

from hwsim.errors import unknown_name
from hwsim.executor import Function

#: Task -> module and function; the function takes a JSON object and returns a JSON value.
TASKS = {
    "simulate_batch": ("hwsim.cli.batches", "simulate_batch"),
}


def find_task(name: str) -> Function:
    """Return the function of a task.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    module, function = TASKS[name]
    task: Function = getattr(import_module(module), function)
    return task


def task_name(function: Function) -> str:
    """Return the name of the task that a function is.

    Raises:
        ValueError: it is none.
    """
    for name, place in TASKS.items():
        if place == (function.__module__, function.__name__):
            return name
    raise unknown_name("task", f"{function.__module__}.{function.__name__}", TASKS)
