from .main import mock_upstream

mock_upstream(prog_name="python -m fastgw.mock")
