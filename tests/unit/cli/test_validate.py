from pathlib import Path

import pytest

from fastgw.cli.validate import validate

QUICKSTART = Path(__file__).parents[3] / "config" / "quickstart" / "resources.yaml"


def test_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(QUICKSTART, {}) == 0
    assert capsys.readouterr() == (f"OK: {QUICKSTART} loaded 3 resource(s)\n", "")


def test_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.yaml"
    path.write_text('_format_version: "1"\nmodels: [x, {display_name: m}]\n')
    assert validate(path, {}) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"resources file {path}: 4 error(s):",
        "  - models[0]: entry must be a mapping",
        '  - models[1] ("m"): schema validation failed at ``: missing required field `provider`',
        '  - models[1] ("m"): schema validation failed at ``: missing required field `model_name`',
        '  - models[1] ("m"): schema validation failed at ``: missing required field `provider_key_id`',
    ]


def test_configuration_overrides_are_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(QUICKSTART, {"FASTGW_NOT_A_KEY": "x", "FASTGW_PROXY__ADDR": "x"}) == 0
    assert "loaded 3" in capsys.readouterr().out
