"""Words: every message has its template, and nothing a tenant writes becomes markup."""

from __future__ import annotations

from decimal import Decimal

import pytest
from jinja2 import UndefinedError

from examples.ticketing.correspondence import notices_for, update_for
from examples.ticketing.desk.case import Case
from examples.ticketing.desk.generator import generate_requests
from examples.ticketing.desk.proof import is_update
from examples.ticketing.desk.smtp_server import StoredMail
from examples.ticketing.stationery import SMS_LENGTH, Stationery
from examples.ticketing.ticket import Invoice, InvoiceLine

NASTY = "<script>alert('x')</script> & co"


@pytest.fixture(scope="module")
def stationery() -> Stationery:
    return Stationery()


def test_every_notice_of_every_step_can_be_written(stationery: Stationery) -> None:
    for request in generate_requests(20, seed=3):
        for news in Case(request).news:
            for notice in notices_for(news):
                letter = stationery.letter(notice.template, notice.facts)
                assert news.ticket.id in letter.subject or news.ticket.id in letter.text
                assert "\n" not in letter.subject
                assert 0 < len(stationery.sms(notice.template, notice.facts)) <= SMS_LENGTH


def test_every_update_can_be_written(stationery: Stationery) -> None:
    for news in Case(next(generate_requests(1, seed=3))).news:
        if update := update_for(news):
            assert is_update(StoredMail("", "", 1, stationery.letter(update.template, update.facts).subject))


def test_a_letter_in_html_is_escaped_and_in_text_is_not(stationery: Stationery) -> None:
    facts = {"recipient": "Ann", "ticket": "T-1", "category": NASTY, "address": "HERE", "reported": "today"}
    letter = stationery.letter("created_landlord", facts)
    assert "<script>" not in letter.html
    assert "&lt;script&gt;" in letter.html
    assert NASTY in letter.text


def test_an_invoice_is_escaped_and_adds_up(stationery: Stationery) -> None:
    [request] = generate_requests(1, seed=3)
    ticket = Case(request).ticket.model_copy(update={"category": NASTY})
    lines = (
        InvoiceLine(text=NASTY, amount=Decimal("100.10")),
        InvoiceLine(text="Desk fee", amount=Decimal("5.05")),
    )
    page, text = stationery.invoice(ticket, Invoice(number="INV-1", lines=lines))
    assert "<script>" not in page.content
    assert "$105.15" in page.content
    assert "$105.15" in text.content


def test_a_hole_in_a_letter_is_an_error(stationery: Stationery) -> None:
    with pytest.raises(UndefinedError):
        stationery.letter("created_landlord", {"recipient": "Ann"})
