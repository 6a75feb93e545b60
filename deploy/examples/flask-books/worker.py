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
    signals = (signal.SIGTERM, signal.SIGINT)

    def told(*_):
        # Platforms say it several times. When Python ends, what isn't ignored kills.
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        stop.set()

    for number in signals:
        signal.signal(number, told)
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
