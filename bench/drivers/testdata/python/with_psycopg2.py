"""psycopg2."""

import contextlib
import io
import select
import time

import psycopg2
import psycopg2.extras
import psycopg2.pool

import dbapi
import scenario


class Driver(scenario.Scenario):
    def __init__(self, url):
        self.url = url

    def connect(self, application_name, settings):
        return Connection(psycopg2.connect(self.url, **dbapi.parameters(application_name, settings)))

    def sqlstate(self, error):
        return getattr(error, "pgcode", None)

    @contextlib.contextmanager
    def pool(self, size):
        pool = psycopg2.pool.ThreadedConnectionPool(1, size, self.url)

        @contextlib.contextmanager
        def lend():
            connection = pool.getconn()
            try:
                yield Connection(connection)
            finally:
                pool.putconn(connection)

        yield lend
        pool.closeall()


class Connection(dbapi.Connection):
    def json(self, value):
        return psycopg2.extras.Json(value)

    def batch(self, sql, rows):
        with self.connection.cursor() as cursor:
            psycopg2.extras.execute_batch(cursor, sql.replace("$1", "%s"), rows)
        self.connection.commit()

    def cursor(self, sql, size):
        with self.connection.cursor("pages") as cursor:
            cursor.itersize = size
            cursor.execute(sql)
            yield from cursor
        self.connection.commit()

    def held(self, sql, size):
        with self.connection.cursor("pages", withhold=True) as cursor:
            cursor.execute(sql)
            self.connection.commit()
            while rows := cursor.fetchmany(size):
                self.connection.commit()
                yield rows
        self.connection.commit()

    def copy_in(self, table, columns, rows):
        text = io.StringIO("".join("\t".join(map(str, row)) + "\n" for row in rows))
        with self.connection.cursor() as cursor:
            cursor.copy_from(text, table, columns=columns)
        self.connection.commit()

    def copy_out(self, sql):
        text = io.StringIO()
        with self.connection.cursor() as cursor:
            cursor.copy_expert(f"COPY ({sql}) TO STDOUT", text)
        self.connection.commit()
        return text.getvalue()

    def listen(self, channel):
        self.run("LISTEN " + channel)

    def unlisten(self, channel):
        self.run("UNLISTEN " + channel)

    def notified(self, count, patience):
        until = time.monotonic() + patience
        self.connection.poll()
        while len(self.connection.notifies) < count and (left := until - time.monotonic()) > 0:
            select.select([self.connection], [], [], left)
            self.connection.poll()
        payloads = [notification.payload for notification in self.connection.notifies]
        self.connection.notifies.clear()
        return payloads
