"""What Alembic runs: the migrations, one process at a time."""

import os

import sqlalchemy
from alembic import context

engine = sqlalchemy.create_engine(os.environ["DATABASE_URL"].replace("postgres://", "postgresql://"), future=True)
with engine.connect() as connection:
    connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(4712)"))
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
    held = connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(4712)")).scalar_one()
    connection.commit()
    if not held:
        raise RuntimeError("the lock was lost")
engine.dispose()
