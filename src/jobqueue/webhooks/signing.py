"""The headers of Standard Webhooks 1.0: the id, the time of this try, and a signature by each key."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


def signed_headers(message_id: str, at_s: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """What is sent beside ``body``; ``at_s`` is in seconds since 1970."""
    content = b"%b.%d.%b" % (message_id.encode(), at_s, body)
    signatures = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
