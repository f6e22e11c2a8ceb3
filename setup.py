"""Compiled leaves of fastgw. Everything else about the package is in pyproject.toml.

Build variants, by environment variable:
  FASTGW_ANNOTATE=1  also write the annotated HTML of each module
  FASTGW_TRACE=1     line tracing, for coverage and profiling of .pyx files
  FASTGW_ASAN=1      AddressSanitizer and UndefinedBehaviorSanitizer
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup


def flag(name: str) -> bool:
    return os.environ.get(f"FASTGW_{name}", "") not in ("", "0")


SOURCE = Path("fastgw/_speedups")
COMPILE = ["-O3", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
LINK: list[str] = []
MACROS = [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")] if flag("TRACE") else []
if flag("ASAN"):
    sanitize = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
    COMPILE = ["-O1", "-g", *COMPILE[1:], *sanitize]
    LINK = sanitize

extensions = [
    Extension(
        f"fastgw._speedups.{path.stem}",
        [str(path)],
        depends=[str(header) for header in sorted(SOURCE.glob("*.h"))],
        include_dirs=[str(SOURCE)],
        extra_compile_args=COMPILE,
        extra_link_args=LINK,
        define_macros=MACROS,
    )
    for path in sorted(SOURCE.glob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        extensions,
        annotate=flag("ANNOTATE"),
        compiler_directives={
            "language_level": 3,
            "autotestdict": False,
            "binding": False,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "linetrace": flag("TRACE"),
            "freethreading_compatible": True,
        },
    )
)
