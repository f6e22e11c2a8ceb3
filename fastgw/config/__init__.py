"""The bootstrap configuration, ``config.yaml``."""

from fastgw.config.errors import ConfigError
from fastgw.config.load import load_config
from fastgw.config.schema import Config

__all__ = ["Config", "ConfigError", "load_config"]
