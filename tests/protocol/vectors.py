"""The table of all inbound vectors."""

from tests.protocol import vectors_connection, vectors_framing, vectors_heads

VECTORS = [*vectors_framing.VECTORS, *vectors_heads.VECTORS, *vectors_connection.VECTORS]
