"""The one error of this package."""


class ConfigError(Exception):
    """The configuration cannot be used. The text says why, names keys, and is safe to print."""
