"""Keyed hashes: what stands for a person without naming one, the same wherever the same key is used."""

from hashlib import blake2b


class Keyed:
    """Hashes under a key of any length. With the empty key anybody who guesses a text can check the guess."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = blake2b(key, digest_size=32).digest() if key else b""

    def digest(self, purpose: bytes, text: str, size: int) -> bytes:
        """`size` bytes, at most 64. Hashes for different purposes (at most 16 bytes) have nothing to do with each other."""
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size, key=self._key, person=purpose).digest()

    def number(self, purpose: bytes, text: str) -> int:
        """An integer below 2^53, which JSON readers and Elasticsearch's aggregations keep exact."""
        return int.from_bytes(self.digest(purpose, text, 8), "big") >> 11
