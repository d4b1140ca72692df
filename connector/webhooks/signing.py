"""Signatures of webhook messages, by the Standard Webhooks specification 1.0 (symmetric signatures, `v1`). PURE."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256


def signature_headers(keys: Sequence[bytes], message_id: str, sent_at: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove sender, integrity and time of a message.

    `sent_at` is in seconds since 1970. There is one signature for each key: while a secret is being replaced, a
    receiver accepts the message by the old one or by the new one.
    """
    signed = f"{message_id}.{sent_at}.".encode() + body
    signatures = [b64encode(hmac.new(key, signed, sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
