"""psycopg 3, with its own prepare_threshold or another."""

import contextlib
import re
import threading

import psycopg
import psycopg.types.json

import dbapi
import scenario


class Driver(scenario.Scenario):
    def __init__(self, url, threshold):
        self.url = url
        self.keywords = {} if threshold == "default" else {"prepare_threshold": int(threshold)}

    def connect(self, application_name, settings):
        return Connection(psycopg.connect(self.url, **self.keywords, **dbapi.parameters(application_name, settings)))

    def sqlstate(self, error):
        return getattr(error, "sqlstate", None)

    @contextlib.contextmanager
    def pool(self, size):
        """The driver's pool is a package of its own: here a connection stays with the thread that has opened it."""
        kept = threading.local()
        opened = []

        @contextlib.contextmanager
        def lend():
            if not hasattr(kept, "connection"):
                kept.connection = self.connect(None, {})
                opened.append(kept.connection)
            yield kept.connection

        yield lend
        for connection in opened:
            connection.close()


class Connection(dbapi.Connection):
    def __init__(self, connection):
        super().__init__(connection)
        self.payloads = []

    def json(self, value):
        return psycopg.types.json.Jsonb(value)

    def batch(self, sql, rows):
        with self.connection.pipeline(), self.connection.cursor() as cursor:
            cursor.executemany(re.sub(r"\$\d", "%s", sql), rows)
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
        with self.connection.cursor() as cursor:
            with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        self.connection.commit()

    def copy_out(self, sql):
        with self.connection.cursor() as cursor:
            with cursor.copy(f"COPY ({sql}) TO STDOUT") as copy:
                text = b"".join(copy).decode()
        self.connection.commit()
        return text

    def listen(self, channel):
        self.connection.add_notify_handler(lambda notification: self.payloads.append(notification.payload))
        self.run("LISTEN " + channel)

    def unlisten(self, channel):
        self.run("UNLISTEN " + channel)

    def notified(self, count, patience):
        """Those that came with an answer were given to the handler; the others are waited for by the driver's generator."""
        missing = count - len(self.payloads)
        if missing > 0:

            def wait():
                for number, notification in enumerate(self.connection.notifies(), 1):
                    self.payloads.append(notification.payload)
                    if number == missing:
                        return

            thread = threading.Thread(target=wait, daemon=True)
            thread.start()
            thread.join(patience)
            if thread.is_alive():
                raise TimeoutError(f"no more notifications than {self.payloads}")
        payloads, self.payloads = self.payloads, []
        return payloads
