"""The command line."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import click

from fastgw import __version__


@click.group(invoke_without_command=True)
@click.option("-c", "--config", type=click.Path(path_type=Path), envvar="FASTGW_CONFIG", help="Bootstrap file.")
@click.version_option(__version__, prog_name="fastgw")
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """fastgw: an AI gateway. Without a command it runs the gateway that --config describes."""
    if context.invoked_subcommand is not None:
        return
    if config is None:
        raise click.UsageError("Missing option '--config' / '-c' (or FASTGW_CONFIG).")
    sys.exit(run(config))


def run(config: Path) -> int:
    """Run the gateway; the exit code."""
    # A reload that is asked for before there is anything to reload must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    import uvloop

    from fastgw.runtime.errors import BootError
    from fastgw.runtime.supervisor import run_gateway

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_gateway(config, os.environ))
    except BootError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    return 0


@main.command()
@click.option("--resources", type=click.Path(path_type=Path), required=True, help="Resources file to check.")
@click.option("--namespace", default=None, help="Accepted for symmetry with other commands.")
def validate(resources: Path, namespace: str | None) -> None:
    """Check a resources file without starting anything."""
    from fastgw.cli.validate import validate as check

    sys.exit(check(resources, os.environ))


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port of the gateway.")
@click.option("--mock-port", default=4010, show_default=True, help="Port of the mock provider.")
def quickstart(port: int, mock_port: int) -> None:
    """Start a gateway and a mock provider, and print how to make a first call."""
    from fastgw.cli.quickstart import quickstart as run_both

    sys.exit(run_both(port, mock_port))


@main.command()
@click.option("--model", required=True, help="Upstream model name; it decides the encoding.")
@click.argument("file", type=click.File("rb"))
def tokens(model: str, file: BinaryIO) -> None:
    """Print how many tokens the text of FILE (or - for standard input) has."""
    from fastgw.cli.tokens import tokens as count

    click.echo(count(model, file))


@main.command("mock-upstream", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def mock_upstream(arguments: tuple[str, ...]) -> None:
    """A scripted provider for trying, testing and measuring (see --help of the command)."""
    from fastgw.mock.main import mock_upstream as command

    command.main(list(arguments), prog_name="fastgw mock-upstream")


if __name__ == "__main__":
    main()
