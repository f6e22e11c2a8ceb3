"""Why a gateway could not start."""


class BootError(Exception):
    """The text is for the operator: what failed, and where. Several lines are allowed."""
