"""fastgw: an AI gateway. The version is the only thing that lives here."""

__version__ = "0.1.0"
