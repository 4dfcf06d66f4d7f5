"""Made-up requests, and the cases they turn into, are the same for the same seed."""

from __future__ import annotations

from examples.ticketing.correspondence import notices_for
from examples.ticketing.desk.case import Case
from examples.ticketing.desk.generator import generate_requests


def test_the_same_seed_gives_the_same_requests() -> None:
    assert list(generate_requests(50, seed=7)) == list(generate_requests(50, seed=7))


def test_another_seed_gives_others() -> None:
    assert list(generate_requests(50, seed=7)) != list(generate_requests(50, seed=8))


def test_numbers_are_unique() -> None:
    assert len({request.number for request in generate_requests(500, seed=7)}) == 500


def test_a_case_is_the_same_each_time_it_is_made() -> None:
    [request] = generate_requests(1, seed=7)
    assert Case(request).steps == Case(request).steps


def test_the_steps_are_taken_in_order_under_ids_of_their_own() -> None:
    [request] = generate_requests(1, seed=7)
    assert [step.job_id for step in Case(request).steps] == [
        "T-7-000001.created",
        "T-7-000001.quoted",
        "T-7-000001.approved",
        "T-7-000001.assigned",
        "T-7-000001.completed",
        "T-7-000001.paid",
    ]


def test_every_step_tells_the_landlord_the_contractor_and_a_tenant_who_is_known() -> None:
    for request in generate_requests(50, seed=7):
        notices = [notice for news in Case(request).news for notice in notices_for(news)]
        assert len({notice.job_id for notice in notices}) == len(notices)
        assert len(notices) == (7 if request.anonymous else 10)
