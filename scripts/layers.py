"""The architecture as a rule: which package may import which, and how large a module or function may grow.

As a program it prints every breach and exits 1 when there is one; tests/unit/test_architecture.py calls the same code.
Reads source text only, so it needs neither fastgw nor its dependencies.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Top to bottom: a package imports from lower lines only. Names on one line are siblings and do not know each other.
LAYERS = (
    ("cli",),
    ("runtime",),
    ("http",),
    ("endpoints",),
    ("gateway",),
    ("policy", "providers"),
    ("upstream", "telemetry"),
    ("state",),
    ("resources",),
    ("config",),
    ("core",),
    ("_speedups",),
)
LEVEL = {package: len(LAYERS) - depth for depth, packages in enumerate(LAYERS) for package in packages}

# Pairs of which the order would allow more: all that the first may see of the second. The server side of HTTP turns
# bytes into exchanges and answers into bytes; what happens to an exchange is handed to it by the runtime.
ONLY: dict[tuple[str, str], set[str]] = {
    ("http", "endpoints"): set(),
    ("http", "gateway"): {"exchange"},
    ("http", "upstream"): set(),
}
STANDALONE = "mock"  # a tool of its own: imports nothing of fastgw, and only the command line imports it
MODULE_LINES = 600
FUNCTION_LINES = 80
MAY_PRINT = {"cli", STANDALONE}

# Comparing one of these with == would leak its content through timing (hmac.compare_digest does not).
SECRET = re.compile(r"(^|_)(secret|password|signature|key_hash|token_hash)$")
COMPILED_IMPORT = re.compile(r"^\s*(?:from|c?import)\s+(fastgw|asyncio)\b", re.MULTILINE)


def imports(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted target) of every fastgw import anywhere in the module; `package` resolves relative ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "fastgw")
        elif isinstance(node, ast.ImportFrom):
            parent = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            if base.split(".")[0] == "fastgw":
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def import_breach(importer: str, target: str) -> str | None:
    """Say why package `importer` may not import the dotted `target`, or None when it may."""
    imported, module = [*target.split(".")[1:3], "", ""][:2]
    if imported in ("", "__version__") or imported == importer:
        return None
    if importer == STANDALONE:
        return f"{STANDALONE} is standalone and may not import {target}"
    if imported == STANDALONE:
        return None if importer == "cli" else f"only cli may import {STANDALONE}"
    if importer not in LEVEL or imported not in LEVEL:
        return f"{importer if importer not in LEVEL else imported} has no place in LAYERS (scripts/layers.py)"
    if LEVEL[imported] >= LEVEL[importer] or module not in ONLY.get((importer, imported), {module}):
        return f"{importer} may not import {target}"
    return None


def size_breaches(tree: ast.Module, lines: int) -> Iterator[tuple[int, str]]:
    """Yield (line, reason) for a module or function that has grown past its limit."""
    if lines > MODULE_LINES:
        yield 1, f"module has {lines} lines (at most {MODULE_LINES})"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield node.lineno, f"{node.name}() has {length} lines (at most {FUNCTION_LINES})"


def content_breaches(tree: ast.Module, package: str, is_init: bool) -> Iterator[tuple[int, str]]:
    """Yield (line, reason) for prints, timing-unsafe comparisons, and code in an __init__.py."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            if package not in MAY_PRINT:
                yield node.lineno, "print() belongs to cli and mock; log instead"
        elif isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            operands = [node.left, *node.comparators]
            names = [getattr(operand, "attr", getattr(operand, "id", "")) for operand in operands]
            if any(map(SECRET.search, names)) and not any(isinstance(operand, ast.Constant) for operand in operands):
                yield node.lineno, "compare secrets with hmac.compare_digest"
    if is_init:
        for statement in tree.body:
            if not isinstance(statement, ast.Import | ast.ImportFrom) and not _is_metadata(statement):
                yield statement.lineno, "__init__.py may only re-export"


def _is_metadata(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Assign) and all(
        isinstance(target, ast.Name) and target.id in ("__all__", "__version__") for target in statement.targets
    )


def breaches(root: Path) -> list[str]:
    """Check the package below `root`/fastgw; each breach is one `path:line: reason`."""
    found: list[str] = []
    for path in sorted((root / "fastgw").rglob("*.py")):
        relative = path.relative_to(root)
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        package = relative.parts[1] if len(relative.parts) > 2 else "cli"  # fastgw/__main__.py only starts the cli
        own = [(line, import_breach(package, target)) for line, target in imports(tree, ".".join(relative.parts[:-1]))]
        problems = [(line, reason) for line, reason in own if reason]
        problems += size_breaches(tree, text.count("\n"))
        problems += content_breaches(tree, package, path.name == "__init__.py")
        found += [f"{relative}:{line}: {reason}" for line, reason in sorted(set(problems))]
    for path in sorted((root / "fastgw").rglob("*.p[yx][xd]")):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MODULE_LINES:
            found.append(f"{path.relative_to(root)}:1: module has {text.count(chr(10))} lines (at most {MODULE_LINES})")
        for match in COMPILED_IMPORT.finditer(text):
            line = text.count("\n", 0, match.start(1)) + 1
            found.append(f"{path.relative_to(root)}:{line}: compiled modules may not import {match[1]}")
    return found


if __name__ == "__main__":
    problems = breaches(Path(__file__).resolve().parent.parent)
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(bool(problems))
