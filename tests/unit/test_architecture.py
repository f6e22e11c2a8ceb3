"""The layer rule of scripts/layers.py: holds for the tree, and notices every kind of breach."""

from pathlib import Path

import pytest

from scripts import layers

ROOT = Path(__file__).resolve().parents[2]


def tree(tmp_path: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        path = tmp_path / "fastgw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return layers.breaches(tmp_path)


def test_the_tree_keeps_the_architecture() -> None:
    assert layers.breaches(ROOT) == []


def test_every_package_has_a_place() -> None:
    packages = {path.parent.name for path in (ROOT / "fastgw").glob("*/__init__.py")}
    assert packages == {*layers.LEVEL, layers.STANDALONE}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("gateway/relay.py", "import orjson\nfrom fastgw.core import ids\nfrom fastgw.policy.limits import Limit\n"),
        ("gateway/relay.py", "from . import admit\nfrom .admit import x\nfrom fastgw.gateway.admit import y\n"),
        ("gateway/relay.py", "from ..core import ids\n"),
        ("gateway/relay.py", "from fastgw import __version__\n"),
        ("http/a.py", "from fastgw.gateway.exchange import Exchange\nfrom fastgw.gateway import exchange\n"),
        ("resources/load.py", "from fastgw.config import yaml\n"),
        ("cli/main.py", "import fastgw.mock.server\nprint('hello')\n"),
        ("__main__.py", "from fastgw.cli.main import main\n"),
        ("mock/server.py", "from fastgw import __version__\nfrom fastgw.mock import answers\nfrom . import faults\n"),
        ("core/__init__.py", '"""Doc."""\nfrom fastgw.core.ids import mint\n__all__ = ["mint"]\n'),
        ("core/secrets.py", "def f(password, key_hash):\n    return password == '' or key_hash is None\n"),
        ("_speedups/sse.pyx", "from cpython.bytes cimport PyBytes_AS_STRING\nfrom . cimport common\n"),
    ],
)
def test_allowed(tmp_path: Path, path: str, code: str) -> None:
    assert tree(tmp_path, {path: code}) == []


@pytest.mark.parametrize(
    ("path", "code", "breach"),
    [
        ("core/a.py", "import fastgw.gateway.relay\n", "fastgw/core/a.py:1: core may not import fastgw.gateway.relay"),
        (
            "core/a.py",
            "\nfrom ..gateway import relay\n",
            "fastgw/core/a.py:2: core may not import fastgw.gateway",
        ),
        ("core/a.py", "def f():\n    from fastgw.state import cells\n", "fastgw/core/a.py:2: core may not import"),
        ("core/a.py", "from fastgw import state\n", "fastgw/core/a.py:1: core may not import fastgw.state"),
        ("policy/a.py", "from fastgw.providers import b\n", "policy may not import fastgw.providers.b"),
        ("upstream/a.py", "from fastgw.telemetry import b\n", "upstream may not import fastgw.telemetry.b"),
        ("http/a.py", "from fastgw.gateway import b\n", "http may not import fastgw.gateway.b"),
        ("http/a.py", "import fastgw.endpoints\n", "http may not import fastgw.endpoints"),
        ("mock/a.py", "from fastgw.core import b\n", "mock is standalone"),
        ("runtime/a.py", "from fastgw.mock import b\n", "only cli may import mock"),
        ("novel/a.py", "from fastgw.core import b\n", "novel has no place in LAYERS"),
        ("core/a.py", "from fastgw.novel import b\n", "novel has no place in LAYERS"),
        ("core/a.py", "\n" * 601, "module has 601 lines"),
        ("core/a.py", "async def f():\n" + "    x = 1\n" * 80, "fastgw/core/a.py:1: f() has 81 lines"),
        ("core/a.py", "print('x')\n", "print() belongs to cli and mock"),
        ("core/a.py", "def f(a, b):\n    return a.key_hash == b\n", "fastgw/core/a.py:2: compare secrets"),
        ("core/__init__.py", "x = 1\n", "fastgw/core/__init__.py:1: __init__.py may only re-export"),
        (
            "_speedups/a.pyx",
            "import cython\nfrom fastgw.core cimport b\n",
            "a.pyx:2: compiled modules may not import",
        ),
        ("_speedups/a.pyx", "cimport asyncio\n", "compiled modules may not import asyncio"),
        ("_speedups/a.pxd", "\n" * 601, "a.pxd:1: module has 601 lines"),
    ],
)
def test_breach(tmp_path: Path, path: str, code: str, breach: str) -> None:
    problems = tree(tmp_path, {path: code})
    assert len(problems) == 1
    assert breach in problems[0]
