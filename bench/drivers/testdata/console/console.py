"""Prints what each of Python's drivers reads from the console: the totals by name, a line for each way of asking."""

import asyncio
import os
import sys

import asyncpg
import psycopg
import psycopg2

url = os.environ["DATABASE_URL"]


def tell(how, rows):
    by_name = dict(rows)
    kinds = {type(value).__name__ for value in by_name.values()}
    print(how, len(by_name), ",".join(sorted(kinds)), int(by_name["total_xact_count"]) >= 0, flush=True)


def with_psycopg2():
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SHOW TOTALS;")
    tell("psycopg2", cursor.fetchall())
    connection.close()


def with_psycopg():
    with psycopg.connect(url, autocommit=True) as connection:
        tell("psycopg", connection.execute("SHOW TOTALS").fetchall())
        tell("psycopg-prepared", connection.execute("SHOW TOTALS", prepare=True).fetchall())
        tell("psycopg-binary", connection.execute("SHOW TOTALS", binary=True).fetchall())
        with connection.pipeline():
            one, two = connection.execute("SHOW TOTALS"), connection.execute("SHOW TOTALS")
            tell("psycopg-pipeline", two.fetchall())
            tell("psycopg-pipeline", one.fetchall())
        try:
            connection.execute("NONSENSE", prepare=True)
        except psycopg.errors.SyntaxError as error:
            print("psycopg-error", error.sqlstate)
        connection.execute("SET default_pool_size = 3")


async def with_asyncpg():
    connection = await asyncpg.connect(url)
    tell("asyncpg", [tuple(row) for row in await connection.fetch("SHOW TOTALS")])
    await connection.close()


{"psycopg2": with_psycopg2, "psycopg": with_psycopg, "asyncpg": lambda: asyncio.run(with_asyncpg())}[sys.argv[1]]()
