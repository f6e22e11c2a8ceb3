"""Provider keys, models, API keys: their types, and the file they are read from."""

from fastgw.resources.file import load_resources
from fastgw.resources.models import ApiKey, Model, ProviderKey, Resources, Row
from fastgw.resources.report import FileProblem, ResourcesError

__all__ = [
    "ApiKey",
    "FileProblem",
    "Model",
    "ProviderKey",
    "Resources",
    "ResourcesError",
    "Row",
    "load_resources",
]
