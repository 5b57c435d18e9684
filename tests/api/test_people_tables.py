"""People as CSV: every row is checked before the first is stored, and what goes out harms no spreadsheet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_app.flow.csv_text import harmless
from oms_app.flow.people_csv import EXPORTED
from tests.api.conftest import opened
from tests.api.people_desk import People


@pytest.fixture(scope="module")
def people(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with opened(migrated_file, tmp_path_factory.mktemp("tables")) as desk:
        yield People(desk)


def send_csv(people: People, table: str | bytes, query: str = "") -> Any:
    headers = {"X-API-Key": people.desk.api_key, "Content-Type": "text/csv"}
    return people.desk.client.post(f"/api/v1/members/import{query}", data=table, headers=headers)


def test_each_row_becomes_an_invitation_with_a_mail(people: People) -> None:
    anna, ben = people.address("anna"), people.address("ben")
    table = f"email,role,scopes,first_name\r\n{anna},TRADER,manage:risk view:audit,Anna\r\n{ben},viewer,,\r\n"
    checked = send_csv(people, table, "?dry_run=true").json
    assert [one["outcome"] for one in checked["results"]] == ["INVITED", "INVITED"]
    assert people.desk.send("GET", "/api/v1/invitations").json["items"] == []
    done = send_csv(people, table).json
    assert [(one["row"], one["email"], one["outcome"]) for one in done["results"]] == [
        (1, anna, "INVITED"), (2, ben, "INVITED"),
    ]  # fmt: skip
    joined = people.public(
        "/invitations/accept", {"token": people.mailbox.last(anna).token, "password": "a password of anna"}
    )
    member = people.desk.send("GET", f"/api/v1/members/{joined.json['user_id']}").json
    assert (member["first_name"], member["scopes"]) == ("Anna", ["manage:risk", "view:audit"])
    again = people.desk.send("POST", "/api/v1/members/import", {"csv": table}).json
    assert [one["outcome"] for one in again["results"]] == ["MEMBER_ALREADY", "INVITED_ALREADY"]


def test_every_fault_is_named_by_row_and_column_and_nothing_is_stored(people: People) -> None:
    good = people.address("good")
    table = f"email,role,scopes\n{good},TRADER,\nnobody,TRADER,\n{good},BOSS,\nx@example.com,VIEWER,fly:planes\n"
    answer = send_csv(people, table)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json["errors"]] == ["rows[2].email", "rows[3].role", "rows[4].scopes"]
    twice = send_csv(people, f"email,role\n{good},VIEWER\n{good},VIEWER\n")
    assert [one["field"] for one in twice.json["errors"]] == ["rows[2].email"]
    listed = people.desk.send("GET", "/api/v1/invitations?with_closed=true&limit=500").json["items"]
    assert good not in {one["email"] for one in listed}


TABLES = [
    ("no heading", "a@example.com,VIEWER\n"),
    ("no row", "email,role\n"),
    ("no role", "email\na@example.com\n"),
    ("unknown column", "email,role,salary\na@example.com,VIEWER,1\n"),
    ("column twice", "email,role,role\na@example.com,VIEWER,VIEWER\n"),
    ("open quote", 'email,role\n"a@example.com,VIEWER\n'),
    ("too many rows", "email,role\n" + "a@example.com,VIEWER\n" * 1001),
    ("cells missing", "email,role\na@example.com\n"),
    ("no UTF-8", b"email,role\n\xff\xfe,VIEWER\n"),
    ("null", "email,role\na\x00@example.com,VIEWER\n"),
]


@pytest.mark.parametrize("table", [table for _, table in TABLES], ids=[name for name, _ in TABLES])
def test_what_is_no_such_table_is_refused_with_the_reason(people: People, table: str | bytes) -> None:
    answer = send_csv(people, table)
    assert answer.status_code == 422
    assert answer.json["errors"]


def test_nobody_imports_people_who_may_do_more(people: People) -> None:
    key = people.desk.key("admin:tenants", "view:orders", "view:positions")
    body = {"csv": f"email,role\n{people.address()},TRADER\n"}
    answer = people.desk.send("POST", "/api/v1/members/import", body, key=key)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "rows[1].role")


def test_a_thousand_people_are_imported_at_once(people: People) -> None:
    rows = "".join(f"person-{number}@many.example,VIEWER\n" for number in range(1000))
    done = send_csv(people, "email,role\n" + rows)
    assert done.status_code == 200
    assert len(done.json["results"]) == 1000


def test_members_are_exported_without_formulas(people: People) -> None:
    token = people.token(people.person("VIEWER"))
    people.send(
        token, "PATCH", "/users/me", {"first_name": '=HYPERLINK("http://evil.example")', "last_name": "@SUM(1)"}
    )
    answer = people.desk.send("GET", "/api/v1/members/export")
    assert answer.headers["Content-Type"].startswith("text/csv")
    lines = answer.get_data(as_text=True).split("\r\n")
    assert lines[0] == ",".join(EXPORTED)
    assert '"\'=HYPERLINK(""http://evil.example"")"' in answer.get_data(as_text=True)
    assert "'@SUM(1)" in answer.get_data(as_text=True)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_formula_becomes_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    assert harmless(f"a{cell}") == f"a{cell}"
