"""Sends e-mail over a few SMTP connections that are kept open from one message to the next."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from email.message import EmailMessage
from email.utils import formataddr
from urllib.parse import quote, unquote

import aiosmtplib
import anyio

from examples.ticketing.contracts import EmailSend
from examples.ticketing.stationery import Letter

MESSAGE_DOMAIN = "ticketing.example"


class Mailer:
    """``async with Mailer(...) as mailer: await mailer.send(message)``. At most ``connections`` at a time."""

    def __init__(self, host: str, port: int, *, sender: str, connections: int = 8) -> None:
        self._host = host
        self._port = port
        self.sender = sender
        self._free = anyio.Semaphore(connections)
        self._idle: list[aiosmtplib.SMTP] = []

    async def __aenter__(self) -> Mailer:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._idle:
            connection = self._idle.pop()
            with suppress(aiosmtplib.SMTPException, OSError):
                await connection.quit()
            connection.close()

    async def send(self, message: EmailMessage) -> None:
        """Returns once the server has taken the message; raises aiosmtplib.SMTPException or OSError otherwise."""
        async with self._connection() as smtp:
            await smtp.send_message(message)

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[aiosmtplib.SMTP]:
        async with self._free:
            smtp = self._idle.pop() if self._idle else self._new_connection()
            try:
                if not smtp.is_connected:
                    await smtp.connect()
                yield smtp
            except BaseException:
                # Cut off in the middle of a command (by a timeout, say), it is of no more use.
                smtp.close()
                raise
            self._idle.append(smtp)

    def _new_connection(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._host, port=self._port, local_hostname="localhost", start_tls=False, timeout=10
        )


def message_id(job_id: str) -> str:
    """The job's id as a mail's. Quoted, since ids may hold what a mail's may not: a schedule's have a colon."""
    return f"{quote(job_id, safe='')}@{MESSAGE_DOMAIN}"


def job_id_of(message_id: str) -> str:
    """The other way round."""
    return unquote(message_id.removesuffix(f"@{MESSAGE_DOMAIN}"))


def compose(mail: EmailSend, letter: Letter, *, sender: str, job_id: str, attempt: int) -> EmailMessage:
    """The message as it goes over the wire.

    Message-ID is made of the job's id: a job that is run again, because its worker died between the server's
    "250 OK" and saying so, sends a message that mail programs recognise as the one they have.
    """
    message = EmailMessage()
    message["From"] = formataddr(("The ticket desk", sender))
    message["To"] = formataddr((mail.name, mail.address))
    message["Subject"] = letter.subject
    message["Message-ID"] = f"<{message_id(job_id)}>"
    message["X-Attempt"] = str(attempt)
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    for attachment in mail.attachments:
        message.add_attachment(attachment.content, subtype=attachment.subtype, filename=attachment.filename)
    return message
