"""Django: its migrations, and its connections by way of cursors, savepoints and querysets."""

import contextlib
import os
import subprocess
import sys
import threading

import django
from django.conf import settings

import dbapi
import scenario
import urllib.parse


def configure(url):
    at = urllib.parse.urlsplit(url)
    settings.configure(
        INSTALLED_APPS=["library"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql", "NAME": at.path[1:], "USER": at.username, "PASSWORD": at.password,
                "HOST": at.hostname, "PORT": at.port,
            }
        },
    )
    django.setup()


class Driver(scenario.Scenario):
    def __init__(self, url):
        configure(url)

    def connect(self, application_name, options):
        from django.db import connections

        connection = connections.create_connection("default")
        connection.inc_thread_sharing()
        given = dict(connection.settings_dict)
        given["OPTIONS"] = dbapi.parameters(application_name, options)
        connection.settings_dict = given
        return Connection(connection)

    def sqlstate(self, error):
        return getattr(error.__cause__, "pgcode", None)

    @contextlib.contextmanager
    def pool(self, size):
        """Django keeps a connection for each thread."""
        from django.db import connection

        @contextlib.contextmanager
        def lend():
            yield Connection(connection)
            connection.close_if_unusable_or_obsolete()

        yield lend

    def step_migrate(self):
        migrate()
        return migrated() + [names()]

    def step_migrate_back(self):
        migrate("library", "zero")
        with self.cursor() as cursor:
            cursor.execute("SELECT CAST(to_regclass('library_volume') AS text)")
            return list(cursor.fetchone())

    def step_migrate_at_once(self):
        migrate("library", "zero")
        command = [sys.executable, "-B", os.path.abspath(__file__)]
        children = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        complaints = [child.communicate()[1] for child in children]
        if any(child.returncode for child in children):
            raise RuntimeError("; ".join(complaints))
        with self.cursor() as cursor:
            cursor.execute("SELECT CAST(count(*) AS int) FROM library_volume")
            return migrated() + list(cursor.fetchone())

    def cursor(self):
        from django.db import connection

        return connection.cursor()


def migrate(*target):
    """Applies migrations, one process at a time."""
    from django.core.management import call_command
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(4711)")
        call_command("migrate", *target, verbosity=0, interactive=False)
        cursor.execute("SELECT pg_advisory_unlock(4711)")
        if not cursor.fetchone()[0]:
            raise RuntimeError("the lock was lost")


def migrated():
    from django.db.migrations.recorder import MigrationRecorder

    return list(MigrationRecorder.Migration.objects.filter(app="library").order_by("name").values_list("name", flat=True))


def names():
    from library.models import Volume

    return Volume.objects.get(shelf="second").shelf


class Connection(dbapi.Connection):
    """Django's connections commit by themselves, unless told otherwise."""

    def fetch(self, sql, args):
        with self.connection.cursor() as cursor:
            self.execute(cursor, sql, args)
            if cursor.description is None:
                return [], []
            return [column[0] for column in cursor.description], [list(row) for row in cursor.fetchall()]

    def begin(self):
        self.connection.set_autocommit(False)

    def commit(self):
        self.connection.commit()
        self.connection.set_autocommit(True)

    def rollback(self):
        self.connection.rollback()
        self.connection.set_autocommit(True)

    def batch(self, sql, rows):
        with self.connection.cursor() as cursor:
            cursor.executemany(sql.replace("$1", "%s"), rows)

    def cursor(self, sql, size):
        """What QuerySet.iterator() reads with: a cursor WITH HOLD outside transactions."""
        cursor = self.connection.chunked_cursor()
        cursor.itersize = size
        cursor.execute(sql)
        yield from cursor
        cursor.close()


if __name__ == "__main__":
    configure(os.environ["DATABASE_URL"])
    migrate()
