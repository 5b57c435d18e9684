"""The stand-alone verifier finds every tampering of a log and names the first bad seq."""

import base64
import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oms_app.store import audit_verifier as verifier
from oms_app.store import chain
from oms_app.store.audit_verifier import Row

SIZE = 10_000
TAMPERINGS = 1_000
EVERY = 1_000
TENANT, LEDGER, OTHER = "0" * 35 + "1", "0" * 35 + "2", "0" * 35 + "3"
BEGAN = datetime(2026, 11, 20, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw().hex()


def made(ledger_id: str, size: int) -> list[Row]:
    """A log as it is exported."""
    rows = []
    for seq in range(1, size + 1):
        rows.append(
            Row(
                tenant_id=TENANT,
                ledger_id=ledger_id,
                seq=seq,
                event_id=f"{ledger_id[-1]}{seq:035d}",
                kind="admin_acted" if seq % 7 == 0 else "order_accepted",
                version=1,
                account_id=f"{seq % 5:036d}",
                order_id="" if seq % 7 == 0 else f"{seq:036d}",
                recorded_at=chain.instant_text(BEGAN + timedelta(milliseconds=seq)),
                payload=json.dumps({"quantity": str(seq), "note": "ä☃"}, ensure_ascii=False),
                hash="",
            )
        )
    return list(chained(rows, ledger_id))


def chained(rows: Iterable[Row], ledger_id: str = LEDGER, before: str = "") -> Iterator[Row]:
    """The rows with hashes computed anew, as somebody would who knows how it is done."""
    present = before or verifier.genesis(TENANT, ledger_id)
    for row in rows:
        present = verifier.row_hash(present, row)
        yield row._replace(hash=present)


def behind(rows: list[Row], place: int, later: Iterable[Row]) -> Iterator[Row]:
    """The rows up to a place, then others whose hashes are computed anew."""
    yield from rows[:place]
    yield from chained(later, before=rows[place - 1].hash if place else "")


def vouched(rows: list[Row]) -> list[dict[str, Any]]:
    """Signed checkpoints of a log, one for each thousand rows."""
    points: list[dict[str, Any]] = []
    for end in range(EVERY, len(rows) + 1, EVERY):
        part = rows[end - EVERY : end]
        point = {
            "format": verifier.CHECKPOINT_FORMAT,
            "tenant_id": TENANT,
            "ledger_id": LEDGER,
            "seq": end,
            "hash": part[-1].hash,
            "at": part[-1].recorded_at,
            "marks": base64.b64encode(b"".join(bytes.fromhex(row.hash)[: verifier.MARK] for row in part)).decode(),
            "previous": verifier.fingerprint(points[-1]) if points else "",
            "public_key": PUBLIC,
            "key_id": PUBLIC[:16],
        }
        point["signature"] = base64.b64encode(KEY.sign(verifier.signed_bytes(point))).decode()
        points.append(point)
    return points


@pytest.fixture(scope="module")
def log() -> list[Row]:
    return made(LEDGER, SIZE)


@pytest.fixture(scope="module")
def points(log: list[Row]) -> list[dict[str, Any]]:
    return vouched(log)


@pytest.fixture(scope="module")
def foreign() -> list[Row]:
    return made(OTHER, 500)


Tampering = Callable[[list[Row], random.Random, list[Row]], tuple[Iterable[Row], int]]
"""(log, chance, another ledger's log) -> (the log afterwards, the first seq that is wrong now)."""


def edit(rows: list[Row], chance: random.Random, foreign: list[Row]) -> tuple[Iterable[Row], int]:
    place = chance.randrange(len(rows))
    changes: list[dict[str, Any]] = [
        {"payload": rows[place].payload.replace("quantity", "Quantity")},
        {"kind": "order_canceled"},
        {"version": 2},
        {"account_id": ""},
        {"order_id": f"{SIZE + 7:036d}"},
        {"event_id": f"9{place:035d}"},
        {"hash": "00" * 32},
    ]
    return [*rows[:place], rows[place]._replace(**chance.choice(changes)), *rows[place + 1 :]], place + 1


def delete(rows: list[Row], chance: random.Random, foreign: list[Row]) -> tuple[Iterable[Row], int]:
    place = chance.randrange(len(rows) - 1)
    return [*rows[:place], *rows[place + 1 :]], place + 1


def delete_and_renumber(rows: list[Row], chance: random.Random, foreign: list[Row]) -> tuple[Iterable[Row], int]:
    place = chance.randrange(len(rows) - 1)
    return behind(rows, place, (row._replace(seq=row.seq - 1) for row in rows[place + 1 :])), place + 1


def swap(rows: list[Row], chance: random.Random, foreign: list[Row]) -> tuple[Iterable[Row], int]:
    first, second = sorted(chance.sample(range(len(rows)), 2))
    after = list(rows)
    after[first] = rows[second]._replace(seq=first + 1)
    after[second] = rows[first]._replace(seq=second + 1)
    return after, first + 1


def insert(rows: list[Row], chance: random.Random, foreign: list[Row]) -> tuple[Iterable[Row], int]:
    place = chance.randrange(len(rows))
    added = rows[place]._replace(event_id=f"8{place:035d}")
    return [*rows[:place], added, *rows[place:]], place + 1


def insert_and_renumber(rows: list[Row], chance: random.Random, foreign: list[Row]) -> tuple[Iterable[Row], int]:
    place = chance.randrange(len(rows))
    added = rows[place]._replace(event_id=f"8{place:035d}")
    later = (row._replace(seq=row.seq + 1) for row in rows[place:])
    return behind(rows, place, itertools.chain([added], later)), place + 1


def truncate(rows: list[Row], chance: random.Random, foreign: list[Row]) -> tuple[Iterable[Row], int]:
    place = chance.randrange(1, len(rows))
    return rows[:place], place + 1


def rechain(rows: list[Row], chance: random.Random, foreign: list[Row]) -> tuple[Iterable[Row], int]:
    place = chance.randrange(len(rows))
    forged = rows[place]._replace(payload=rows[place].payload.replace("ä", "a"))
    return behind(rows, place, [forged, *rows[place + 1 :]]), place + 1


def foreign_record(rows: list[Row], chance: random.Random, foreign: list[Row]) -> tuple[Iterable[Row], int]:
    place = chance.randrange(len(rows))
    theirs = chance.choice(foreign)
    if chance.random() < 0.5:
        theirs = theirs._replace(tenant_id=TENANT, ledger_id=LEDGER, seq=place + 1)
    return [*rows[:place], theirs, *rows[place + 1 :]], place + 1


def rewrite_clock(rows: list[Row], chance: random.Random, foreign: list[Row]) -> tuple[Iterable[Row], int]:
    place = chance.randrange(len(rows))
    end = chance.randrange(place, len(rows)) + 1
    shift = timedelta(microseconds=chance.randrange(1, 900))
    moved = (
        row._replace(recorded_at=chain.instant_text(BEGAN + timedelta(milliseconds=row.seq) + shift))
        for row in rows[place:end]
    )
    later = itertools.chain(moved, rows[end:])
    if chance.random() < 0.5:
        return behind(rows, place, later), place + 1
    return itertools.chain(rows[:place], later), place + 1


WAYS: tuple[Tampering, ...] = (
    edit,
    delete,
    delete_and_renumber,
    swap,
    insert,
    insert_and_renumber,
    truncate,
    rechain,
    foreign_record,
    rewrite_clock,
)


def test_a_log_that_nobody_touched_is_whole(log: list[Row], points: list[dict[str, Any]]) -> None:
    result = verifier.check_rows(log, points)
    assert (result.findings, result.rows, result.last_seq, result.checkpoints) == ((), SIZE, SIZE, SIZE // EVERY)
    assert verifier.check_checkpoints(points, PUBLIC) == ([], len(points))


def test_a_thousand_random_tamperings_are_found_and_the_first_bad_seq_is_named(
    log: list[Row], points: list[dict[str, Any]], foreign: list[Row]
) -> None:
    """Each is looked for from the last checkpoint before it; the rows up to there are those of the whole log above."""
    chance = random.Random(20261120)
    missed = []
    for number in range(TAMPERINGS):
        way = WAYS[number % len(WAYS)]
        rows, first_bad = way(log, chance, foreign)
        start = (first_bad - 1) // EVERY * EVERY
        before = log[start - 1].hash if start else None
        rest = itertools.islice(rows, start, None)
        found = verifier.check_rows(rest, points, first=start + 1, before=before).first_bad_seq
        if found != first_bad:
            missed.append((number, way.__name__, first_bad, found))
    assert missed == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_kind_of_tampering_is_found_from_the_beginning_of_the_log_too(
    log: list[Row], points: list[dict[str, Any]], foreign: list[Row], way: Tampering
) -> None:
    rows, first_bad = way(log, random.Random(7), foreign)
    assert verifier.check_rows(rows, points).first_bad_seq == first_bad


@pytest.mark.parametrize("way", [truncate, rechain], ids=["cut off", "computed anew"])
def test_without_checkpoints_a_cut_end_and_a_log_computed_anew_look_whole(
    log: list[Row], foreign: list[Row], way: Tampering
) -> None:
    """What is not promised: this is why checkpoints stand outside of the database."""
    rows, _ = way(log, random.Random(1), foreign)
    assert verifier.check_rows(rows).findings == ()


def test_checkpoints_of_another_ledger_are_not_accepted(log: list[Row], points: list[dict[str, Any]]) -> None:
    others = [{**point, "ledger_id": OTHER} for point in points]
    assert verifier.check_rows(log, others).first_bad_seq == 1


CHANGES: dict[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "a changed hash": lambda points: [*points[:3], {**points[3], "hash": "11" * 32}, *points[4:]],
    "changed marks": lambda points: [*points[:3], {**points[3], "marks": ""}, *points[4:]],
    "a missing one": lambda points: [*points[:3], *points[4:]],
    "two in the wrong order": lambda points: [*points[:3], points[4], points[3], *points[5:]],
    "another key": lambda points: [*points[:3], {**points[3], "public_key": "22" * 32}, *points[4:]],
    "no signature": lambda points: [*points[:3], {**points[3], "signature": ""}, *points[4:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_checkpoints_themselves_is_found(points: list[dict[str, Any]], change: str) -> None:
    findings, _ = verifier.check_checkpoints(CHANGES[change](points), PUBLIC)
    assert min(finding.seq for finding in findings) == 3 * EVERY + 1


def test_checkpoints_of_a_key_that_is_not_trusted_are_refused(points: list[dict[str, Any]]) -> None:
    findings, checked = verifier.check_checkpoints(points, "33" * 32)
    assert len(findings) == len(points)
    assert checked == 0


def test_the_verifier_hashes_as_the_store_does() -> None:
    row = made(LEDGER, 1)[0]
    at = BEGAN + timedelta(milliseconds=1)
    stored = (1, row.event_id, row.kind, 1, row.account_id, row.order_id, at, row.payload.encode())
    assert chain.extended(TENANT, LEDGER, None, [stored])[1].hex() == row.hash
    assert chain.genesis(TENANT, LEDGER).hex() == verifier.genesis(TENANT, LEDGER)


def written(folder: Path, log: list[Row], points: list[dict[str, Any]]) -> tuple[Path, Path]:
    export, checkpoints = folder / "export.jsonl", folder / "points.jsonl"
    header = {
        "format": verifier.EXPORT_FORMAT,
        "from_seq": log[0].seq,
        "to_seq": log[-1].seq,
        "is_end": True,
        "complete": True,
        "before_hash": "",
    }
    lines = [header, *(row._asdict() for row in log)]
    export.write_text("".join(json.dumps(line) + "\n" for line in lines))
    checkpoints.write_text("".join(json.dumps(point) + "\n" for point in points))
    return export, checkpoints


def run(*arguments: object, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """The verifier as its own program, without this project on its path."""
    command = [sys.executable, "-I", *(["-S"] if path is None else []), verifier.__file__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_verifier_runs_alone_with_nothing_but_the_standard_library(tmp_path: Path, log: list[Row]) -> None:
    short = log[: 2 * EVERY]
    export, checkpoints = written(tmp_path, short, vouched(short))
    alone = run(export, "--checkpoints", checkpoints)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert "whole: 2000 rows up to seq 2000, 2 checkpoints compared" in alone.stdout
    assert "signatures were not checked" in alone.stdout
    signed = run(export, "--checkpoints", checkpoints, "--public-key", PUBLIC, path="site")
    assert signed.returncode == 0
    assert "signatures were not checked" not in signed.stdout
    assert run(export, "--checkpoints", checkpoints, "--public-key", "44" * 32, path="site").returncode == 1


def test_the_program_names_the_first_bad_seq_and_fails(tmp_path: Path, log: list[Row]) -> None:
    short = log[: 2 * EVERY]
    points = vouched(short)
    forged = list(behind(short, 1233, [short[1233]._replace(kind="order_canceled"), *short[1234:]]))
    export, checkpoints = written(tmp_path, forged, points)
    failed = run(export, "--checkpoints", checkpoints)
    assert failed.returncode == 1
    assert "first bad seq: 1234" in failed.stdout
    (tmp_path / "cut").mkdir()
    export, checkpoints = written(tmp_path / "cut", short[:1500], points)
    assert "first bad seq: 1501" in run(export, "--checkpoints", checkpoints).stdout


@pytest.mark.parametrize("text", ["", "no export\n", '{"format":"other"}\n', "seq,payload\n1,{}\n"])
def test_what_is_no_export_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    assert run(file).returncode == 2
