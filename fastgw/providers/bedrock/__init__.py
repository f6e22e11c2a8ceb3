"""Amazon Bedrock: Claude by way of `invoke`, everything else and every stream by way of Converse."""

from fastgw.providers.bedrock.adapter import UNSENT_FIELDS, Adapter

__all__ = ["UNSENT_FIELDS", "Adapter"]
