"""Azure OpenAI: OpenAI's documents at deployments of a resource."""

from fastgw.providers.azure.adapter import Adapter
from fastgw.providers.azure.endpoint import VERSION_FIELD

__all__ = ["VERSION_FIELD", "Adapter"]
