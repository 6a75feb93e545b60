"""Alembic: migrations under an advisory lock."""

import os
import subprocess
import sys

import sqlalchemy
from alembic import command, config

HERE = os.path.dirname(os.path.abspath(__file__))


class Driver:
    def __init__(self, url):
        self.engine = sqlalchemy.create_engine(url.replace("postgres://", "postgresql://"), future=True)

    def step(self, name):
        return {"result": getattr(self, name.replace(" ", "_"))()}

    def migrate(self):
        upgrade()
        return self.applied() + [self.value("SELECT shelf FROM volume")]

    def migrate_back(self):
        command.downgrade(configuration(), "base")
        return [self.value("SELECT CAST(to_regclass('volume') AS text)")]

    def migrate_at_once(self):
        command.downgrade(configuration(), "base")
        program = [sys.executable, "-B", os.path.abspath(__file__)]
        children = [subprocess.Popen(program, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        complaints = [child.communicate()[1] for child in children]
        if any(child.returncode for child in children):
            raise RuntimeError("; ".join(complaints))
        return self.applied() + [self.value("SELECT CAST(count(*) AS int) FROM volume")]

    def applied(self):
        """The revisions up to the one that the database is at."""
        at = self.value("SELECT version_num FROM alembic_version")
        return ["0001_first", "0002_second"][: ["0001_first", "0002_second"].index(at) + 1]

    def value(self, sql):
        with self.engine.begin() as connection:
            return connection.execute(sqlalchemy.text(sql)).scalar_one()


def configuration():
    made = config.Config()
    made.set_main_option("script_location", os.path.join(HERE, "alembic"))
    return made


def upgrade():
    command.upgrade(configuration(), "head")


if __name__ == "__main__":
    upgrade()
