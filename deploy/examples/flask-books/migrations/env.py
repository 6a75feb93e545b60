"""Runs the migrations: all of them in one transaction, one release at a time."""

from logging.config import fileConfig

from alembic import context
from bookstore.database import sqlalchemy_url
from bookstore.models import db
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

# Two releases at once would both create the same table. This lock belongs to
# the session, as in most migration tools; with carpool in between the session
# keeps its server connection for as long as it has the lock.
LOCK = 7355608

fileConfig(context.config.config_file_name)
engine = create_engine(sqlalchemy_url(), poolclass=NullPool, future=True)

with engine.connect() as connection:
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
    connection.commit()
    context.configure(connection=connection, target_metadata=db.metadata)
    with context.begin_transaction():
        context.run_migrations()
# Closing the connection gives the lock back, after a failure too.
