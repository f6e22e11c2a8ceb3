"""Benchmarks of the gateway. Not part of the installed package; see README.md in this folder."""
