"""The command ``striate``; one file a command."""

from __future__ import annotations

import errno
import functools
import importlib
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Annotated, Any

import typer

from toolkit.errors import StriateError
from toolkit.runs import versions

COMMANDS = (
    "build",
    "info",
    "export",
    "simulate",
    "compare",
    "train",
    "analyse",
    "convert",
    "calibrate",
    "tabulate",
    "doctor",
)
BAD_INPUT, INTERRUPTED = 2, 130
_debug = ContextVar("debug", default=False)

app = typer.Typer(
    name="striate",
    help="Models of mouse V1: the same circuit as a spiking network and as a firing-rate network.",
    epilog="Example: striate build 3k --seed 1 --out column.h5",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"striate {versions()['striate']}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="STRIATE_DEBUG", help="Show where an error comes from."),
    ] = False,
    version: Annotated[  # noqa: ARG001  its callback does the work
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    _debug.set(debug)


def explained(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose errors are one paragraph on stderr and an exit code, not a traceback.

    Exit codes: 2 for what a user can put right, 130 for an interruption.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (StriateError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of a pipe has seen enough
            _complain(f"striate: {error}")
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            _complain("striate: interrupted; nothing was written")
            raise typer.Exit(INTERRUPTED) from None

    return run


def _complain(text: str) -> None:
    if _debug.get():
        traceback.print_exc()
    typer.echo(textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False), err=True)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(textwrap.fill(f"note: {message}", 100, break_long_words=False), err=True)


def plain_warnings() -> None:
    """Show warnings as notes even after Brian2 is imported, which sends them to its own log."""
    import logging

    with warnings.catch_warnings():  # of setuptools' private parts, which Brian2 uses
        warnings.simplefilter("ignore")
        import brian2  # noqa: F401

    logging.captureWarnings(False)
    warnings.showwarning = _show_warning


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0, 1 (a bug), 2 (bad input) or 130 (interrupted)."""
    warnings.showwarning = _show_warning
    try:
        app(args=None if arguments is None else list(arguments), prog_name="striate")
    except KeyboardInterrupt:
        _complain("striate: interrupted")
        sys.exit(INTERRUPTED)


for _name in COMMANDS:
    _command = getattr(importlib.import_module(f"circuits.cli.{_name}"), _name)
    app.command(_name)(explained(_command))

for _group in ("data", "retina"):
    _module = importlib.import_module(f"circuits.cli.{_group}")
    _commands = typer.Typer(help=_module.__doc__, epilog=_module.EXAMPLE, no_args_is_help=True)
    for _name, _command in _module.COMMANDS.items():
        _commands.command(_name)(explained(_command))
    app.add_typer(_commands, name=_group)
