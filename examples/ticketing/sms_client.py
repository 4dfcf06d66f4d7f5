"""Hands text messages to an SMS gateway over HTTP."""

from __future__ import annotations

import httpx2 as httpx

from jobqueue import RateLimited, Unrecoverable

HTTP_TOO_MANY_REQUESTS = 429


class GatewayError(Exception):
    """The gateway would not take the message now; it may later."""


class SmsClient:
    """What the gateway answers, in jobqueue's terms: try again, slow down, or never mind."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def send(self, phone: str, text: str, *, key: str, attempt: int) -> None:
        """``key`` makes a repeat harmless: the gateway sends one message for it, however often asked."""
        response = await self._http.post(
            "/messages",
            json={"to": phone, "text": text},
            headers={"Idempotency-Key": key, "X-Attempt": str(attempt)},
        )
        if response.is_success:
            return
        if response.status_code == HTTP_TOO_MANY_REQUESTS:
            raise RateLimited(after=float(response.headers.get("Retry-After", "1")))
        if response.is_client_error:
            raise Unrecoverable(f"the gateway will never take this: {response.status_code} {response.text[:200]}")
        raise GatewayError(f"the gateway answered {response.status_code} for {phone}")
