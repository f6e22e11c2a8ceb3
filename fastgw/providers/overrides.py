from typing import Any
class Overrides:
    reasoning_path: tuple[bytes, ...] = ()
    @classmethod
    def compile(cls, a: Any, b: Any) -> "Overrides | None":
        return None
    def apply_body(self, body: bytes) -> bytes:
        return body
    def headers(self, v: Any, f: Any) -> bytes:
        return b""
