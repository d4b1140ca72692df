"""Partitions of the outbox: an account and everything that belongs to it are in one partition."""

from __future__ import annotations

from zlib import crc32


def partition_hash(key: str) -> int:
    """Return the 31-bit hash of the key of an account or a product, which determines its partition. It is the same on
    every machine."""
    return crc32(key.encode()) & 0x7FFFFFFF
