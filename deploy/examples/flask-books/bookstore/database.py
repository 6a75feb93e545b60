"""Where the database is, and how to hold connections to it."""

import os

from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def sqlalchemy_url():
    """DATABASE_URL in SQLAlchemy's spelling.

    Platforms write postgres://, a name that SQLAlchemy gave up in version 1.4.
    """
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        raise SystemExit("DATABASE_URL isn't set")
    scheme, separator, rest = url.partition("://")
    if scheme == "postgres":
        scheme = "postgresql"
    return scheme + separator + rest


def engine_options():
    """What create_engine gets besides the URL.

    A worker process handles one request at a time, so one connection is all it
    can use. Behind carpool that connection costs the server nothing while the
    worker is idle. pre_ping replaces a connection that has died, such as after
    a restart of the database, before a request meets it.
    """
    return {"pool_size": 1, "max_overflow": 0, "pool_pre_ping": True}
