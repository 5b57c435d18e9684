"""The floor: a bare Flask view that decodes an order, makes one INSERT of ten columns and one COMMIT, and answers 201.

`python -m benchmarks.floor --database URL --port N` serves it with granian, with the workers and threads of the system
that stands beside it. Its table has a primary key and a unique index, no more.
"""

import argparse
import sqlite3
import threading
from functools import partial
from typing import Any

from flask import Flask, Response, jsonify, request
from granian import Granian
from granian.constants import Interfaces

COLUMNS = (
    *("client_order_id", "account_id", "symbol", "side", "quantity", "order_type", "limit_price"),
    *("time_in_force", "state", "queue_until"),
)
TABLE = f"CREATE TABLE IF NOT EXISTS bench_floor ({', '.join(f'{name} text' for name in COLUMNS)})"
INDEX = "CREATE UNIQUE INDEX IF NOT EXISTS bench_floor_key ON bench_floor (account_id, client_order_id)"
SELECT = f"SELECT {', '.join(COLUMNS)} FROM bench_floor LIMIT 50"
INSERT = f"INSERT INTO bench_floor ({', '.join(COLUMNS)}) VALUES ({{marks}})"


def make_app(database: str, threads: int) -> Flask:
    """The application: POST /orders inserts, GET /orders lists fifty rows, GET /nothing does nothing."""
    insert, select = _postgres(database, threads) if database.startswith("postgres") else _sqlite(database)
    app = Flask("benchmarks.floor")

    @app.post("/orders")
    def place() -> tuple[Response, int]:
        order: dict[str, Any] = request.get_json()
        insert([order.get(name) for name in COLUMNS])
        return jsonify(order), 201

    @app.get("/orders")
    def listed() -> Response:
        return jsonify([dict(zip(COLUMNS, row, strict=True)) for row in select()])

    @app.get("/nothing")
    def nothing() -> str:
        return ""

    return app


def make_table(database: str) -> None:
    """Create the floor's table."""
    if database.startswith("postgres"):
        import psycopg

        with psycopg.connect(database) as connection:
            connection.execute(TABLE)
            connection.execute(INDEX)
        return
    file = _sqlite_connection(database)
    file.execute(TABLE)
    file.execute(INDEX)
    file.close()


def _postgres(database: str, threads: int) -> Any:
    from psycopg_pool import ConnectionPool

    pool = ConnectionPool(database, min_size=threads, max_size=threads, open=True)
    statement = INSERT.format(marks=", ".join(["%s"] * len(COLUMNS)))

    def insert(values: list[Any]) -> None:
        with pool.connection() as connection:
            connection.execute(statement, values)

    def select() -> list[tuple[Any, ...]]:
        with pool.connection() as connection:
            return connection.execute(SELECT).fetchall()

    return insert, select


def _sqlite(database: str) -> Any:
    connection = _sqlite_connection(database)
    lock = threading.Lock()
    statement = INSERT.format(marks=", ".join(["?"] * len(COLUMNS)))

    def insert(values: list[Any]) -> None:
        with lock, connection:
            connection.execute(statement, values)

    def select() -> list[tuple[Any, ...]]:
        with lock:
            return connection.execute(SELECT).fetchall()

    return insert, select


def _sqlite_connection(database: str) -> sqlite3.Connection:
    connection = sqlite3.connect(database.removeprefix("sqlite:///"), timeout=8, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def main() -> None:
    """Serve the floor until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=16)
    options = parser.parse_args()
    server = Granian(
        "benchmarks.floor",
        address="127.0.0.1",
        port=options.port,
        interface=Interfaces.WSGI,
        workers=options.workers,
        blocking_threads=options.threads,
        backlog=1024,
        backpressure=512,
        log_enabled=False,
    )
    server.serve(target_loader=partial(load_worker, options.database, options.threads), wrap_loader=False)


def load_worker(database: str, threads: int) -> Flask:
    """The application, made inside a worker."""
    return make_app(database, threads)


if __name__ == "__main__":
    main()
