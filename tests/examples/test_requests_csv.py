"""Reading service requests: no row is lost, and what was put right is counted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from examples.ticketing.desk.case import Case
from examples.ticketing.desk.requests_csv import RequestsCsv, UnreadableRequests

HEADER = "srnumber,requesttype,createddate,servicedate,requestsource,owner,assignto,anonymous,address,zipcode,cd"


def read(folder: Path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> RequestsCsv:
    path = folder / "requests.csv"
    path.write_bytes("\r\n".join([header, *rows, ""]).encode(encoding))
    return RequestsCsv(path)


def test_an_orderly_row_is_read_as_it_stands(tmp_path: Path) -> None:
    source = read(
        tmp_path, '1-42,Bulky Items,1/2/20 8:43,1/3/20 0:00,Call,BOS,WV,N,"16815 W VANOWEN ST, 91406",91406,6'
    )
    [request] = source
    assert request.number == "1-42"
    assert request.address == "16815 W VANOWEN ST, 91406"
    assert request.reported_at == datetime(2020, 1, 2, 8, 43, tzinfo=UTC)
    assert request.due == datetime(2020, 1, 3, tzinfo=UTC)
    assert not request.anonymous
    assert not source.oddities


def test_blank_fields_get_sober_stand_ins(tmp_path: Path) -> None:
    source = read(tmp_path, ",,,,,,,,,,")
    [request] = source
    assert (request.number, request.category, request.address) == ("line-2", "Other", "address unknown")
    assert (request.owner, request.crew, request.district, request.due) == ("city", "dispatch", "0", None)
    assert source.oddities["no srnumber"] == 1
    assert source.oddities["no assignto"] == 1


def test_a_repeated_number_is_another_request(tmp_path: Path) -> None:
    row = "1-42,Other,1/2/20 8:43,,Call,BOS,WV,N,HERE,90001,6"
    source = read(tmp_path, row, row)
    assert [request.number for request in source] == ["1-42", "1-42-line-3"]
    assert source.oddities["repeated srnumber"] == 1


@pytest.mark.parametrize(
    ("address", "zipcode", "found"),
    [
        ("LANARK ST., CANOGA PARK, CA 91304, USA", "", "91304"),
        ("N. MARMION WAY AND N. FIGUEROA ST. 90042", "", "90042"),
        ("BUCKINGHAM ROAD AT MARTIN LUTHER KING,", "0", ""),
        ("10614 CA-2", "", ""),
    ],
)
def test_a_missing_zip_code_is_looked_for_in_the_address(
    tmp_path: Path, address: str, zipcode: str, found: str
) -> None:
    source = read(tmp_path, f'1-1,Other,1/2/20 8:43,,Call,BOS,WV,N,"{address}",{zipcode},6')
    [request] = source
    assert request.zipcode == found
    assert source.oddities["no zipcode"] == 1


def test_unreadable_dates_do_not_cost_the_row(tmp_path: Path) -> None:
    source = read(tmp_path, "1-1,Other,31/31/20,soon,Call,BOS,WV,N,HERE,90001,6")
    [request] = source
    assert request.due is None
    assert source.oddities["unreadable createddate"] == 1
    assert source.oddities["unreadable servicedate"] == 1


def test_short_and_overlong_rows_are_kept(tmp_path: Path) -> None:
    source = read(tmp_path, "1-1,Other", "1-2,Other,1/2/20 8:43,,Call,BOS,WV,N,HERE,90001,6,surplus,more")
    assert [request.number for request in source] == ["1-1", "1-2"]
    assert source.oddities["more fields than columns"] == 1


def test_control_characters_and_line_breaks_become_spaces(tmp_path: Path) -> None:
    source = read(tmp_path, '1-1,"Broken\r\nheating\x07",1/2/20 8:43,,Call,BOS,WV,N,"12\t MAIN\u2028ST",90001,6')
    [request] = source
    assert (request.category, request.address) == ("Broken heating", "12 MAIN ST")


def test_broken_utf8_is_read_all_the_same(tmp_path: Path) -> None:
    source = read(tmp_path, "1-1,Öl,1/2/20 8:43,,Call,BOS,WV,N,CALLE NIÑOS 1,90001,6", encoding="latin-1")
    [request] = source
    assert request.address == "CALLE NI OS 1"


def test_a_byte_order_mark_and_capital_column_names_are_no_obstacle(tmp_path: Path) -> None:
    header = "\ufeff" + HEADER.upper()
    [request] = read(tmp_path, "1-1,Other,1/2/20 8:43,,Call,BOS,WV,Y,HERE,90001,6", header=header)
    assert request.anonymous


def test_a_file_without_the_needed_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRequests, match="srnumber"):
        list(read(tmp_path, "1,2", header="a,b"))


def test_whatever_a_row_holds_it_makes_a_valid_case(tmp_path: Path) -> None:
    """Names, addresses and phone numbers made of odd text must still satisfy the contracts."""
    odd = "ß" * 300
    rows = [
        ",,,,,,,,,,",
        f'"{odd}",{odd},x,y,{odd},{odd},{odd},N,{odd},{odd},{odd}',
        '"../../etc","<b>&",1/2/20 8:43,,Email,"101, IED","O\'FARRELL",N,"""quoted""",90001,6',
    ]
    for request in read(tmp_path, *rows):
        assert len(Case(request).steps) == 6
