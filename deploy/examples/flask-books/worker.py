"""Counts the books every few seconds, until it is told to stop."""

import os
import signal
import threading

from bookstore.database import engine_options, sqlalchemy_url
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

COUNT = text("UPDATE shelf SET books = (SELECT count(*) FROM books), counted_at = now() WHERE id = 1")


def main():
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    pause = float(os.environ.get("COUNT_EVERY", "5"))
    engine = create_engine(sqlalchemy_url(), **engine_options())
    print("worker: counting", flush=True)
    # The round that runs when the signal comes is finished.
    while not stop.is_set():
        try:
            with engine.begin() as connection:
                connection.execute(COUNT)
        except OperationalError as error:
            # A database that is being restarted comes back.
            print(f"worker: {error.orig}".strip(), flush=True)
        stop.wait(pause)
    engine.dispose()
    print("worker: stopped", flush=True)


if __name__ == "__main__":
    main()
