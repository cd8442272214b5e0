"""Commands with many options: the options are the fields of a dataclass, which the command takes whole."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, TypeVar

T = TypeVar("T")


def takes(options: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """Return a decorator that gives a command one parameter for each field, which is what typer reads.

    options: a dataclass whose fields are annotated as typer's options and arguments; those without a default come
        first, and are required.
    """

    def decorate(command: Callable[[T], None]) -> Callable[..., None]:
        @wraps(command)
        def with_parameters(**given: Any) -> None:
            command(options(**given))

        parameters = [
            Parameter(
                field.name,
                Parameter.KEYWORD_ONLY,
                default=Parameter.empty if field.default is MISSING else field.default,
                annotation=field.type,
            )
            for field in fields(options)  # type: ignore[arg-type]
        ]
        with_parameters.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        with_parameters.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return with_parameters

    return decorate
