"""Keyed hashes: what stands for a person without naming one, the same wherever the same key is used."""

from collections.abc import Callable
from hashlib import blake2b


class Keyed:
    """Hashes under a key of any length. With the empty key anybody who guesses a text can check the guess."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = blake2b(key, digest_size=32).digest() if key else b""

    def digest(self, purpose: bytes, text: str, size: int) -> bytes:
        """`size` bytes, at most 64. Hashes for different purposes (at most 16 bytes) have nothing to do with each other."""
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size, key=self._key, person=purpose).digest()

    def numbers(self, purpose: bytes) -> Callable[[str], int]:
        """A function that makes integers below 2^53, which JSON readers and Elasticsearch's aggregations keep exact."""
        begun = blake2b(digest_size=8, key=self._key, person=purpose)

        def number(text: str) -> int:
            digest = begun.copy()  # half the price of beginning anew with the key
            digest.update(text.encode("utf-8", "surrogatepass"))
            return int.from_bytes(digest.digest(), "big") >> 11

        return number
