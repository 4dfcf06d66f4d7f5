"""A mail server that delivers nothing: it keeps every message it takes as a file in a mailbox folder.

``python -m examples.ticketing.desk.smtp_server --mailbox DIR [--port 2525]``
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from examples.ticketing.desk.child_process import announce, end_with_parent

LARGEST = 5_000_000


@dataclass(frozen=True, slots=True)
class StoredMail:
    """What the auditor reads off a stored message."""

    message_id: str
    recipient: str
    attempt: int
    subject: str = ""


class Mailbox:
    """A folder with one ``.eml`` file for each message, numbered as they came in. Nothing is ever overwritten."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count(sum(1 for _ in folder.glob("*.eml")) + 1)

    def keep(self, content: bytes) -> None:
        """Stores a message whole: a file is written under another name first, so that no reader sees half of one."""
        path = self.folder / f"{next(self._numbers):07}.eml"
        draft = path.with_suffix(".part")
        draft.write_bytes(content)
        draft.rename(path)

    def messages(self) -> list[StoredMail]:
        return [self._read(path) for path in sorted(self.folder.glob("*.eml"))]

    def _read(self, path: Path) -> StoredMail:
        with path.open("rb") as file:
            headers = BytesHeaderParser().parse(file)
        return StoredMail(
            message_id=str(headers["Message-ID"]).strip().strip("<>"),
            recipient=parseaddr(str(headers["To"]))[1],
            attempt=int(str(headers["X-Attempt"])),
            subject=" ".join(str(headers["Subject"]).split()),
        )


class Postmaster:
    """Takes every message into the mailbox; aiosmtpd calls it for each one."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        self._mailbox.keep(envelope.original_content or b"")
        return "250 OK"


async def serve(mailbox: Mailbox, port: int) -> None:
    """Runs on 127.0.0.1 until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        # A host name of its own: looking one up for each connection could take seconds.
        lambda: SMTP(Postmaster(mailbox), hostname="localhost", data_size_limit=LARGEST, loop=loop),
        "127.0.0.1",
        port,
    )
    announce(str(server.sockets[0].getsockname()[1]))
    await stop.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMTP server that stores every message in a folder.")
    parser.add_argument("--mailbox", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--attached", action="store_true", help="end with the parent process")
    options = parser.parse_args()
    if options.attached:
        end_with_parent()
    asyncio.run(serve(Mailbox(options.mailbox), options.port))


if __name__ == "__main__":
    main()
