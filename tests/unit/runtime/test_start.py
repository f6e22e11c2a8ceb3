"""What a start may cost."""

import subprocess
import sys


def test_the_supervisor_does_not_load_what_only_workers_need() -> None:
    """aiohttp alone takes longer to import than everything that the supervisor does until its workers run."""
    code = "import sys, fastgw.cli.main, fastgw.runtime.supervisor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert {"aiohttp", "fastgw.gateway.exchange"}.isdisjoint(done.stdout.split())
