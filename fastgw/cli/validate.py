"""``fastgw validate``: is a resources file loadable?"""

import sys
from collections.abc import Mapping
from pathlib import Path

from fastgw.resources import Resources, ResourcesError, load_resources


def validate(path: Path, environ: Mapping[str, str]) -> int:
    """Print the verdict and return the exit code: 0, or 1 with the report on stderr. Starts nothing."""
    try:
        resources = load_resources(path, environ)
    except ResourcesError as exc:
        print(exc, file=sys.stderr)
        return 1
    print(f"OK: {path} loaded {count(resources)} resource(s)")
    return 0


def count(resources: Resources) -> int:
    """Rows of all collections."""
    values = (getattr(resources, name) for name in resources.__struct_fields__)
    return sum(len(value) for value in values if isinstance(value, tuple))
