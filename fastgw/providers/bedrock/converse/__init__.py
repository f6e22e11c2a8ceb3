"""Converse and ConverseStream: one protocol for the models of every publisher."""

from fastgw.providers.bedrock.converse.translate import ConverseTranslator, Options

__all__ = ["ConverseTranslator", "Options"]
