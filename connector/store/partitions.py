"""How work is shared out: the hash that assigns an account, with everything of it, to a partition."""

from __future__ import annotations

from zlib import crc32


def partition_hash(key: str) -> int:
    """The hash that assigns work to partitions, the same on every machine: 31 bits of the account's (or
    product's) key."""
    return crc32(key.encode()) & 0x7FFFFFFF
