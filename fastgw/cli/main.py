"""The command line."""

import asyncio
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import BinaryIO

import click

from fastgw import __version__

ERROR_BYTES = 1900
"""What a failed start says at most; `fastgw validate` shows a whole report."""


class Command(click.Command):
    """Shows its usage with every error of usage: click leaves it out when an option lacks its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if error.ctx is not None:
                raise
            raise click.UsageError(error.format_message(), ctx) from None


class Group(Command, click.Group):
    """The same for the program itself."""

    command_class = Command


@click.group(cls=Group, invoke_without_command=True)
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
    # A reload that is asked for before there is anything to reload must not end the process; a stop that comes before
    # anything runs is an orderly one.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    import uvloop

    from fastgw.runtime.errors import BootError
    from fastgw.runtime.supervisor import run_gateway

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_gateway(config, os.environ))
    except BootError as error:
        click.echo(brief(f"Error: {error}"), err=True)
        return 1
    except Exception as defect:
        place = traceback.extract_tb(defect.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        click.echo(brief(f"Error: {type(defect).__name__} at {where}: {defect}"), err=True)
        return 1
    return 0


def brief(text: str) -> str:
    """As many lines of a message as an operator reads, at most ERROR_BYTES; the rest is counted."""
    lines, size = text.encode("utf-8", "replace").split(b"\n"), 0
    for index, line in enumerate(lines):
        size += len(line) + 1
        if size > ERROR_BYTES:
            kept = b"\n".join(lines[:index]) or line[:ERROR_BYTES]
            rest = f"\n  … and {len(lines) - index} more line(s)" if index else "…"
            return kept.decode("utf-8", "ignore") + rest
    return text


@main.command()
@click.option("--resources", type=click.Path(path_type=Path), required=True, help="Resources file to check.")
@click.option("--namespace", default=None, help="Accepted for symmetry with other commands.")
def validate(resources: Path, namespace: str | None) -> None:
    """Check a resources file without starting anything."""
    from fastgw.cli.validate import validate as check

    sys.exit(check(resources, os.environ))


@main.command()
@click.option("--etcd", "etcd", multiple=True, required=True, help="Address of etcd; comma-separated or repeated.")
@click.option("--prefix", default=None, help="Key root. Default: / and the namespace.")
@click.option("--namespace", envvar="FASTGW_NAMESPACE", default="fastgw", show_default=True, help="Product token.")
@click.option("--reveal-secrets", is_flag=True, help="Write credentials instead of placeholders.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write, mode 0600.")
def export(
    etcd: tuple[str, ...], prefix: str | None, namespace: str, reveal_secrets: bool, output: Path | None
) -> None:
    """Write a resources file from what etcd holds."""
    from fastgw.cli.export import export_etcd

    endpoints = [url.strip() for urls in etcd for url in urls.split(",") if url.strip()]
    if not endpoints:
        raise click.UsageError("Option '--etcd' needs an address.")
    root = f"/{namespace}" if prefix is None else prefix
    sys.exit(export_etcd(endpoints, root, namespace, output, reveal=reveal_secrets))


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
