"""Calls webhook receivers: signed by Standard Webhooks, to public addresses only (`base.outgoing`)."""

import ssl
from datetime import timedelta

import msgspec
from standardwebhooks import Webhook

import perennial
from perennial.base.outgoing import TIMEOUT, PublicHttp, Unanswered
from perennial.base.time import to_ms
from perennial.events.model import Answer, Message


class WebhookSender:
    """Every attempt counts. `trust` replaces the usual certificate authorities."""

    def __init__(self, *, allow_internal: bool, timeout: timedelta = TIMEOUT, trust: ssl.SSLContext | None = None) -> None:
        self._http = PublicHttp(allow_internal=allow_internal, timeout=timeout, trust=trust)

    async def send(self, message: Message) -> Answer:
        """One attempt. Whatever the receiver does is a value. A message that could not be put on the wire at all raises."""
        body = encode(message)
        try:
            reply = await self._http.call("POST", message.url, headers=headers(message, body), body=body)
        except Unanswered as why:
            return Answer(error=str(why))
        return Answer(status=reply.status)

    async def close(self) -> None:
        await self._http.close()


def encode(message: Message) -> bytes:
    return msgspec.json.encode({"api_version": "1.0", "event": message.event})


def headers(message: Message, body: bytes) -> list[tuple[bytes, bytes]]:
    """As Standard Webhooks 1.0 has them, one signature for each secret that signs, and the vendor's Authorization, verbatim."""
    secrets = [message.signing_secret] if message.former_secret is None else [message.signing_secret, message.former_secret]
    signature = " ".join(Webhook(secret.reveal()).sign(message.message_id, message.sent_at, body.decode()) for secret in secrets)
    given = [] if message.authorization_header is None else [(b"Authorization", message.authorization_header.reveal_bytes())]
    return [
        (b"Content-Type", b"application/json"),
        (b"User-Agent", f"Perennial/{perennial.__version__}".encode()),
        (b"webhook-id", message.message_id.encode()),
        (b"webhook-timestamp", str(to_ms(message.sent_at) // 1000).encode()),
        (b"webhook-signature", signature.encode()),
        *given,
    ]
