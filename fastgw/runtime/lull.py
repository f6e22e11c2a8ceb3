"""How a listening socket is closed without losing a connection.

Closing resets whatever waits in the accept queue, and between the last accept and the close there is always a moment
for one more to arrive. So new handshakes are dropped first: their clients repeat them a second later and then find the
port closed, or the successor listening. What was established before is accepted meanwhile.
"""

import ctypes
import socket
import struct
import sys

SO_ATTACH_FILTER = 26

# Classic BPF over the TCP header (its flags are byte 13): drop a segment with SYN and without ACK, pass the rest.
_LOAD_FLAGS = (0x30, 0, 0, 13)
_KEEP_SYN_AND_ACK = (0x54, 0, 0, 0x12)
_UNLESS_SYN_ALONE = (0x15, 0, 1, 0x02)
_DROP = (0x06, 0, 0, 0)
_PASS = (0x06, 0, 0, 0xFFFFFFFF)
PROGRAM = (_LOAD_FLAGS, _KEEP_SYN_AND_ACK, _UNLESS_SYN_ALONE, _DROP, _PASS)


def refuse_handshakes(listener: socket.socket) -> bool:
    """Let no new connection come into being, in every process that shares the socket. False where the system cannot:
    then a connection that arrives during the close is reset."""
    if not sys.platform.startswith("linux"):
        return False
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in PROGRAM))
    try:
        listener.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(PROGRAM), ctypes.addressof(code))
        )
    except OSError:
        return False
    return True
