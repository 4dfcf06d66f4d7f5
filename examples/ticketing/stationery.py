"""Turns facts into words: the templates of messages and invoices, rendered by Jinja2.

A message is one text file: its first line is the subject of an e-mail and the whole of an SMS, the rest is
the letter. The HTML of a letter is made from the same text, escaped, so that the two cannot say different
things.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from examples.ticketing.contracts import Attachment
from examples.ticketing.ticket import Invoice, Ticket

SMS_LENGTH = 160


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in words. ``subject`` is one line."""

    subject: str
    text: str
    html: str


class Stationery:
    """The templates, compiled once for the life of a worker."""

    def __init__(self, folder: Path = Path(__file__).parent / "templates") -> None:
        # StrictUndefined: a letter with a hole in it must fail here, not be read by a customer.
        self._templates = Environment(
            loader=FileSystemLoader(folder),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            auto_reload=False,
            keep_trailing_newline=True,
        )

    def letter(self, template: str, facts: dict[str, str]) -> Letter:
        words = self._templates.get_template(f"{template}.txt").render(facts)
        subject, _, text = words.partition("\n")
        paragraphs = [part for part in text.strip().split("\n\n") if part]
        html = self._templates.get_template("letter.html").render(subject=subject, paragraphs=paragraphs)
        return Letter(subject, text.strip() + "\n", html)

    def sms(self, template: str, facts: dict[str, str]) -> str:
        words = self._templates.get_template(f"{template}.txt").render(facts)
        return words.partition("\n")[0][:SMS_LENGTH]

    def invoice(self, ticket: Ticket, invoice: Invoice) -> tuple[Attachment, Attachment]:
        """The invoice as a page to look at and as plain text."""
        html = self._templates.get_template("invoice.html").render(ticket=ticket, invoice=invoice)
        text = self._templates.get_template("invoice.txt").render(ticket=ticket, invoice=invoice)
        return (
            Attachment(filename=f"{invoice.number}.html", subtype="html", content=html),
            Attachment(filename=f"{invoice.number}.txt", subtype="plain", content=text),
        )
