"""The command: flags, listener, signals."""

from __future__ import annotations

import asyncio
import signal
import ssl
from typing import Any

import click
import uvloop

from .script import DIRECTIVES, ScriptError, build, from_text
from .server import Connection, Server

_BACKLOG = 4096
_SWITCHES = ("gzip", "coalesce", "no_done")


async def serve(
    flags: dict[str, object],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    record: int = 0,
    aws_secret: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Prints the address on the first line. Raises OSError if it cannot listen."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(flags, record, aws_secret)
    listener = await loop.create_server(lambda: Connection(server), host, port, ssl=tls, backlog=_BACKLOG)
    address = listener.sockets[0].getsockname()
    name = f"[{address[0]}]" if ":" in address[0] else address[0]
    print(f"mock upstream listening on {'https' if tls else 'http'}://{name}:{address[1]}", flush=True)
    await stopped.wait()
    listener.close()


def _directive_options() -> list[click.Option]:
    options = [click.Option(["--no-usage"], is_flag=True, default=None, help="Short for --usage false.")]
    for name, (_, meaning) in DIRECTIVES.items():
        flag = "--" + name.replace("_", "-")
        if name in _SWITCHES:
            options.append(click.Option([flag], is_flag=True, default=None, help=meaning))
        else:
            options.append(click.Option([flag], metavar="VALUE", help=meaning))
    return options


@click.command("mock-upstream", short_help="Run a scripted OpenAI-shaped upstream.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8081, show_default=True, help="0 takes a free port; the first line printed names it.")
@click.option("--record", default=0, show_default=True, help="Keep this many requests for GET /__mock/requests.")
@click.option("--aws-secret", metavar="KEY", help="Refuse requests that are not signed with this secret access key.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), help="PEM certificate chain.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="PEM private key.")
def mock_upstream(
    host: str,
    port: int,
    record: int,
    aws_secret: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    **directives: Any,
) -> None:
    """Answer like the OpenAI API, as scripted.

    Every directive is a flag, a query parameter of the model name (mock-gpt?tokens=5&cadence_ms=20) and a member of
    the request's "mock" object; the request wins over the model name, the model name over the flags.
    """
    given: dict[str, Any] = {name: value for name, value in directives.items() if value is not None}
    no_usage = given.pop("no_usage", False)
    switches = {name: given.pop(name) for name in _SWITCHES if name in given}
    try:
        flags: dict[str, object] = {**from_text(given), **switches}
        if no_usage:
            flags["usage"] = False
        if (script := build(flags)).at == "connect" and script.fault in (None, "slow", "truncate"):
            raise ScriptError("--at connect needs --fault reset, close, stall, half_close or garbage")
    except ScriptError as error:
        raise click.UsageError(str(error)) from None
    tls = None
    if tls_cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(tls_cert, tls_key)
    uvloop.run(serve(flags, host=host, port=port, record=record, aws_secret=aws_secret, tls=tls))


mock_upstream.params.extend(_directive_options())
