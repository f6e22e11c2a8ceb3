"""Plain values to YAML that :mod:`fastgw.core.yaml` reads back as the same values."""

from typing import Any, Final

import yaml

from fastgw.core.yaml import reads_as_text

_BASE: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_BASE):  # type: ignore[misc]
    """Texts are quoted where either dialect, pyyaml's own or ours, would read something else."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    style = None if reads_as_text(text) else '"'
    if "\n" in text and all(line.isprintable() for line in text.split("\n")):
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dump(value: object) -> str:
    """One document in block style, members in their order. ``value`` is made of what
    :func:`fastgw.core.yaml.load_documents` returns."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**20)
    return text
