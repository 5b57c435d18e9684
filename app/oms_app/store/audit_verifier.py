#!/usr/bin/env python3
"""Check an exported audit log and its checkpoints, with nothing but this file and Python 3.11 or later.

    python audit_verifier.py EXPORT [--checkpoints FILE] [--public-key HEX]

EXPORT is what `oms audit export` or GET /api/v1/audit/export wrote, JSONL or CSV, without filters. Printed is either
that the log is whole, or the first seq that is not what was once recorded; the exit code is 0 or 1 (2: it cannot be
read). Signatures of checkpoints are checked when the package `cryptography` is installed; without it the checkpoints
are compared and their signatures are reported as unchecked.

What is found without checkpoints: any changed, missing, added or moved row. What needs checkpoints: rows cut off at the
end, and a log whose hashes were all computed anew. Rows that are younger than the last checkpoint are only as safe as
the chain alone makes them.

How it is computed. The bytes of a row are its values in lines, in UTF-8:

    oms-log-1 / tenant_id / ledger_id / seq / event_id / kind / version / account_id / order_id / recorded_at / payload

with ids in lower case, an absent id as an empty line, and no line break behind the payload. hash = SHA-256(hash of the
row before || those bytes); before the first row stands SHA-256("oms-log-1\\ngenesis\\n" tenant_id "\\n" ledger_id).
A checkpoint is signed (ed25519) over its other fields as JSON with sorted keys and no spaces; `previous` is the SHA-256
of the checkpoint before; `marks` are the first four bytes of each row's hash since then, by which the first changed row
can be named.
"""

import argparse
import base64
import binascii
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

FORMAT = "oms-log-1"
EXPORT_FORMAT = "oms-audit-export-1"
CHECKPOINT_FORMAT = "oms-audit-checkpoint-1"
COLUMNS = (
    "tenant_id",
    "ledger_id",
    "seq",
    "event_id",
    "kind",
    "version",
    "account_id",
    "order_id",
    "recorded_at",
    "payload",
    "hash",
)
MARK = 4
_MOST_CSV = 64 * 1024 * 1024


class Row(NamedTuple):
    """One row of an export, as text."""

    tenant_id: str
    ledger_id: str
    seq: int
    event_id: str
    kind: str
    version: int
    account_id: str
    order_id: str
    recorded_at: str
    payload: str
    hash: str


class Finding(NamedTuple):
    """What is wrong, and from which seq on nothing can be trusted; seq 0: the file as a whole."""

    seq: int
    text: str


class Result(NamedTuple):
    """What a check found. rows: how many were read. checkpoints, signatures: how many were compared and checked."""

    findings: tuple[Finding, ...]
    rows: int
    last_seq: int
    checkpoints: int
    signatures: int

    @property
    def first_bad_seq(self) -> int | None:
        """The first seq that is not what was once recorded; None when everything is."""
        return min((finding.seq for finding in self.findings), default=None)


class Unreadable(Exception):
    """The file is not what this program reads."""


def genesis(tenant_id: str, ledger_id: str) -> str:
    """What stands before the first row, in hex."""
    return sha256(f"{FORMAT}\ngenesis\n{tenant_id}\n{ledger_id}".lower().encode()).hexdigest()


def row_hash(before: str, row: Row) -> str:
    """The hash that the row must have behind a row with the hash `before`; both in hex."""
    ids = f"{row.tenant_id}\n{row.ledger_id}\n{row.seq}\n{row.event_id}".lower()
    concerned = f"{row.account_id}\n{row.order_id}".lower()
    text = f"{FORMAT}\n{ids}\n{row.kind}\n{row.version}\n{concerned}\n{row.recorded_at}\n{row.payload}"
    return sha256(bytes.fromhex(before) + text.encode("utf-8", "surrogatepass")).hexdigest()


def check_rows(
    rows: Iterable[Row],
    checkpoints: Sequence[dict[str, Any]] = (),
    *,
    first: int = 1,
    before: str | None = None,
) -> Result:
    """Compare rows, oldest first, with their own chain and with checkpoints; stops at the first that is wrong.

    first: the seq of the first row that is to be there. before: the hash of the row before that, where there is one.
    """
    expected, present, count, compared = first, before, 0, 0
    scope: tuple[str, str] | None = None
    marked = sorted(checkpoints, key=lambda point: int(point["seq"]))
    marks = _marks(marked)
    heads = {int(point["seq"]): str(point["hash"]) for point in marked}
    last_at = ""

    def wrong(seq: int, text: str) -> Result:
        return Result((Finding(seq, text),), count, expected - 1, compared, 0)

    for row in rows:
        if scope is None:
            scope = (row.tenant_id.lower(), row.ledger_id.lower())
            present = present if present is not None else genesis(*scope)
            named = next((point for point in marked if (point["tenant_id"], point["ledger_id"]) != scope), None)
            if named is not None:
                return wrong(row.seq, f"the checkpoints are those of ledger {named['ledger_id']}, not of {scope[1]}")
        if (row.tenant_id, row.ledger_id) != scope and (row.tenant_id.lower(), row.ledger_id.lower()) != scope:
            return wrong(expected, "the row belongs to another log")
        if row.seq != expected:
            return wrong(expected, f"seq {row.seq} stands where {expected} belongs")
        assert present is not None
        present = row_hash(present, row)
        if row.hash != present:
            return wrong(expected, "the hash is not that of the row and the rows before it")
        mark = marks.get(expected)
        if mark is not None and not present.startswith(mark):
            return wrong(expected, "the row is not the one that a checkpoint vouches for")
        if expected in heads:
            compared += 1
            if heads[expected] != present:
                return wrong(expected, "the hash is not that of the checkpoint")
        if row.recorded_at < last_at:
            return wrong(expected, "its time lies before that of the row before")
        last_at = row.recorded_at
        count += 1
        expected += 1
    beyond = [seq for seq in heads if seq >= expected]
    if beyond:
        return wrong(expected, f"the log ends at seq {expected - 1}; a checkpoint vouches for {max(beyond)}")
    return Result((), count, expected - 1, compared, 0)


def check_checkpoints(points: Sequence[dict[str, Any]], public_key: str = "") -> tuple[list[Finding], int]:
    """(what is wrong with the checkpoints themselves, how many signatures were checked).

    public_key: in hex; every checkpoint must be signed by it. Without it all must be signed by the key of the first.
    """
    findings: list[Finding] = []
    verify = _signature_check()
    checked, before, seq = 0, "", 0
    trusted = public_key.lower() or (str(points[0].get("public_key", "")) if points else "")
    for point in points:
        here = int(point["seq"])
        if point.get("previous", "") != before:
            findings.append(Finding(seq + 1, f"a checkpoint is missing before that of seq {here}"))
        if here <= seq:
            findings.append(Finding(here, "the checkpoints are out of order"))
        if point.get("public_key") != trusted:
            findings.append(Finding(seq + 1, f"the checkpoint of seq {here} is signed by another key"))
        elif verify is not None:
            if not verify(trusted, str(point.get("signature", "")), signed_bytes(point)):
                findings.append(Finding(seq + 1, f"the signature of the checkpoint of seq {here} is wrong"))
            checked += 1
        before, seq = fingerprint(point), here
    return findings, checked


def signed_bytes(point: dict[str, Any]) -> bytes:
    """What a checkpoint's signature covers: every other field."""
    rest = {name: value for name, value in point.items() if name != "signature"}
    return json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def fingerprint(point: dict[str, Any]) -> str:
    """What the next checkpoint says of this one."""
    return sha256(signed_bytes(point) + str(point.get("signature", "")).encode()).hexdigest()


def check_files(export: Path, checkpoints: Path | None = None, public_key: str = "") -> Result:
    """The whole check of an export and, when there are any, its checkpoints. Raises Unreadable."""
    header, rows = read_export(export)
    if header is not None and not header.get("complete", True):
        raise Unreadable("this export was filtered: only an export of every row can be checked")
    points = read_checkpoints(checkpoints) if checkpoints is not None else []
    findings, signatures = check_checkpoints(points, public_key)
    first = int(header["from_seq"]) if header is not None else 1
    before = str(header["before_hash"]) if header is not None and first > 1 else None
    if header is not None:
        points = [point for point in points if first <= int(point["seq"])]
        if header.get("to_seq") is not None and not header.get("is_end", True):
            points = [point for point in points if int(point["seq"]) <= int(header["to_seq"])]
    found = check_rows(rows, points, first=first, before=before)
    if header is not None and not found.findings and found.last_seq != int(header["to_seq"]):
        findings.append(Finding(found.last_seq + 1, f"the export should end at seq {header['to_seq']}"))
    return found._replace(findings=(*findings, *found.findings), signatures=signatures)


def read_export(path: Path) -> tuple[dict[str, Any] | None, Iterator[Row]]:
    """(the header of a JSONL export or None, its rows). Raises Unreadable."""
    with path.open(encoding="utf-8-sig") as file:
        first = file.readline()
    if first.startswith("{"):
        header = _json(first, 1)
        if header.get("format") != EXPORT_FORMAT:
            raise Unreadable(f"{path} is no export of this kind: its first line does not say {EXPORT_FORMAT}")
        return header, _jsonl_rows(path)
    if "seq" not in first or "payload" not in first:
        raise Unreadable(f"{path} is neither a JSONL nor a CSV export")
    return None, _csv_rows(path)


def read_checkpoints(path: Path) -> list[dict[str, Any]]:
    """The checkpoints of a file, in its order. Raises Unreadable."""
    points = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            point = _json(line, number)
            if point.get("format") != CHECKPOINT_FORMAT:
                raise Unreadable(f"{path}, line {number}: is no checkpoint")
            points.append(point)
    return points


def row_of(values: dict[str, Any]) -> Row:
    """The row of an export's fields. Raises Unreadable."""
    try:
        texts = {name: "" if values[name] is None else str(values[name]) for name in COLUMNS}
        return Row(**{**texts, "seq": int(texts["seq"]), "version": int(texts["version"])})  # type: ignore[arg-type]
    except (KeyError, ValueError) as error:
        raise Unreadable(f"a row is not whole: {error}") from None


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        next(file)
        for number, line in enumerate(file, 2):
            yield row_of(_json(line, number))


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_MOST_CSV)
    with path.open(encoding="utf-8-sig", newline="") as file:
        for values in csv.DictReader(file):
            yield row_of(values)


def _json(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        raise Unreadable(f"line {number} is no JSON") from None
    if not isinstance(value, dict):
        raise Unreadable(f"line {number} is no JSON object")
    return value


def _marks(points: Sequence[dict[str, Any]]) -> dict[int, str]:
    """seq -> how the hash of that row begins, in hex, as the checkpoints have it."""
    found: dict[int, str] = {}
    for point in points:
        try:
            marks = base64.b64decode(str(point.get("marks", "")), validate=True)
        except (ValueError, binascii.Error):
            continue
        first = int(point["seq"]) - len(marks) // MARK + 1
        found.update({first + n: marks[n * MARK : (n + 1) * MARK].hex() for n in range(len(marks) // MARK)})
    return found


def _signature_check() -> Callable[[str, str, bytes], bool] | None:
    """(public key, signature, text) -> whether it is right; None when `cryptography` is not installed."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return None

    def verify(public_key: str, signature: str, text: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(base64.b64decode(signature), text)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when the log is whole, 1 when it is not, 2 when it cannot be read."""
    parser = argparse.ArgumentParser(description="Check an exported audit log and its checkpoints.")
    parser.add_argument("export", type=Path, help="what oms audit export wrote, JSONL or CSV")
    parser.add_argument("--checkpoints", type=Path, help="the ledger's file of checkpoints")
    parser.add_argument("--public-key", default="", help="the key in hex that must have signed them")
    asked = parser.parse_args(arguments)
    try:
        result = check_files(asked.export, asked.checkpoints, asked.public_key)
    except (OSError, Unreadable, UnicodeDecodeError) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    for finding in result.findings:
        print(f"BAD seq {finding.seq}: {finding.text}")
    if result.findings:
        print(f"first bad seq: {result.first_bad_seq}")
        return 1
    print(f"whole: {result.rows} rows up to seq {result.last_seq}, {result.checkpoints} checkpoints compared")
    if asked.checkpoints is None:
        print("without checkpoints nobody can tell whether the end was cut off or all was computed anew")
    elif not result.signatures and result.checkpoints:
        print("signatures were not checked: install the Python package cryptography")
    return 0


if __name__ == "__main__":
    sys.exit(main())
