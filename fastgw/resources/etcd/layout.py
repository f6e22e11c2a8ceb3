"""Where resources live in etcd: `<effective prefix>/<kind>/<id>`."""

from typing import NamedTuple


class Place(NamedTuple):
    """What a key names. Everything after the kind is the id, further slashes included."""

    kind: str
    id: str


class Layout:
    """The key space of one gateway. `key` and `range_end` are the bounds of a range read or watch of all of it.

    `prefix` is the effective one: with an `env_id`, `<prefix>/<env_id>/`.
    """

    def __init__(self, prefix: str, env_id: str = "") -> None:
        effective = f"{prefix.rstrip('/')}/{env_id}/" if env_id else prefix
        self.prefix = effective.encode()
        # An empty key is not allowed; a zero byte means the first key, and as an end, all keys from `key` on.
        self.key = self.prefix or b"\0"
        self.range_end = _after(self.prefix)
        self._root = self.prefix if self.prefix.endswith(b"/") else self.prefix + b"/"

    def place(self, key: bytes) -> Place | None:
        """What a key within the range names; None when it does not have the shape `<prefix>/<kind>/<id>`."""
        if not key.startswith(self._root):
            return None
        try:
            kind, _, identity = key[len(self._root) :].decode().partition("/")
        except UnicodeDecodeError:
            return None
        return Place(kind, identity) if kind and identity else None

    def key_of(self, kind: str, id: str) -> bytes:
        """Where a resource is."""
        return self._root + f"{kind}/{id}".encode()


def _after(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix`."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else b"\0"
