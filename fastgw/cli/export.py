"""``fastgw export``: a resources file from what etcd holds."""

import asyncio
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from fastgw.config.schema import Etcd
from fastgw.resources.etcd.client import EtcdClient, Loaded
from fastgw.resources.etcd.layout import Layout
from fastgw.resources.etcd.settings import SettingsError, etcd_settings
from fastgw.resources.etcd.wire import EtcdError
from fastgw.resources.export import Exported, Stored, export
from fastgw.resources.report import printable

ATTEMPTS = 3
PAUSE_SECONDS = 1.0


def export_etcd(endpoints: Iterable[str], prefix: str, namespace: str, output: Path | None, *, reveal: bool) -> int:
    """Write the file and say what it lacks; the exit code. 1 also for a file that is written and incomplete."""
    layout = Layout(prefix)
    try:
        loaded = asyncio.run(read(tuple(endpoints), layout))
    except (EtcdError, SettingsError) as error:
        print(f"Error: {printable(str(error))}", file=sys.stderr)
        return 1
    exported = export(stored(loaded, layout), namespace, reveal=reveal)
    place = str(output) if output is not None else "stdout"
    try:
        write(exported.text, output)
    except OSError as error:
        print(f"Error: cannot write {place}: {error.strerror}", file=sys.stderr)
        return 1
    for line in report(exported, place, reveal=reveal):
        print(printable(line), file=sys.stderr)
    return 0 if exported.complete else 1


async def read(endpoints: tuple[str, ...], layout: Layout) -> Loaded:
    """Everything below the prefix. Raises EtcdError after the last attempt, SettingsError for a bad address."""
    settings = etcd_settings(Etcd(endpoints=endpoints), {})
    async with EtcdClient(settings, layout) as client:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await client.load()
            except EtcdError:
                if attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError("the last attempt returns or raises")


def stored(loaded: Loaded, layout: Layout) -> Iterable[Stored]:
    """The keys with what they name."""
    for entry in loaded.entries:
        key, place = entry.key.decode("utf-8", "replace"), layout.place(entry.key)
        yield Stored(key, place.kind if place else None, place.id if place else "", entry.value)


def write(text: str, output: Path | None) -> None:
    """To standard output, or to a file that only its owner may read. Raises OSError."""
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    # An existing file is closed to others before anything is in it.
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
        file.write(text)


def report(exported: Exported, place: str, *, reveal: bool) -> Iterable[str]:
    """What is to be said besides the file. No credentials."""
    yield f"Exported {exported.count} resource(s) to {place}"
    for key, error_kind, message in exported.rejected:
        yield f"  - {key} ({error_kind}): {message}"
    for text in (*exported.gaps, *exported.warnings):
        yield f"warning: {text}"
    if reveal:
        yield "warning: the output contains credentials in plain text (--reveal-secrets)"
    elif exported.replaced:
        yield (
            f"{len(exported.replaced)} secret value(s) were replaced with ${{VAR}} placeholders. Set these environment"
            " variables where the file is loaded:"
        )
        for item in exported.replaced:
            yield f'  {item.variable} — {item.kind} "{item.identity}" {item.field}'
