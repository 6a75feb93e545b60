"""The scenario as a client in Python goes through it, whatever the driver.

A driver is a subclass of Scenario, and its connections are subclasses of Connection. Texts of queries have $1, $2 ... for
parameters. What is done outside begin and commit or rollback is a transaction by itself, in the driver's usual way.
"""

import datetime
import decimal
import hashlib
import json
import threading
import time

REPETITIONS = 6
NOTIFY_PATIENCE = 8  # seconds

SHELF = {"statement_timeout": "31s", "search_path": "one"}
WHERE = "SELECT current_setting('search_path'), current_setting('TimeZone'), current_setting('statement_timeout'), current_setting('application_name')"


class Connection:
    """What a driver's connections do. Those that can't do a thing leave it out, and the table of drivers says so."""

    def run(self, sql, *args):
        """Does something that has no rows."""
        raise NotImplementedError

    def query(self, sql, *args):
        """Returns all rows as lists."""
        raise NotImplementedError

    def value(self, sql, *args):
        ((value,),) = self.query(sql, *args)
        return value

    def cursor(self, sql, size):
        """Yields the rows of a query, read in pieces of a size in one transaction."""
        self.begin()
        self.run("DECLARE pages CURSOR FOR " + sql)
        while rows := self.query(f"FETCH {size} FROM pages"):
            yield from rows
        self.commit()

    def held(self, sql, size):
        """Yields pieces of a query's rows from a cursor WITH HOLD, each read in a transaction of its own."""
        self.run("DECLARE pages CURSOR WITH HOLD FOR " + sql)
        while rows := self.query(f"FETCH {size} FROM pages"):
            yield rows
        self.run("CLOSE pages")

    def json(self, value):
        return json.dumps(value)


class Scenario:
    """A driver. Subclasses have connect, columns, batch and pool, and sqlstate of an exception."""

    def step(self, name):
        self.retries = 0
        self.opened = []
        try:
            result = getattr(self, "step_" + name.replace(" ", "_"))()
            return {"result": result, "retries": self.retries}
        finally:
            for connection in self.opened:
                self.shut(connection)

    def shut(self, connection):
        try:
            connection.close()
        except Exception:
            pass  # the step has its error already, or is done

    def open(self, application_name=None, options=None):
        connection = self.connect(application_name, options or {})
        self.opened.append(connection)
        return connection

    def code(self, do, *args):
        try:
            do(*args)
        except Exception as error:
            if code := self.sqlstate(error):
                return code
            raise
        return None

    def distinct(self, connection, sql, *args):
        answers = []
        for _ in range(REPETITIONS):
            row = connection.query(sql, *args)[0]
            if row not in answers:
                answers.append(row)
        return answers

    def setting(self, connection, name):
        """The value of a parameter, or all that were seen if it isn't always the same."""
        values = [value for (value,) in self.distinct(connection, f"SELECT current_setting('{name}')")]
        return values[0] if len(values) == 1 else values

    def step_connect(self):
        c = self.open("shelf", SHELF)
        return self.distinct(c, "SELECT current_setting('application_name'), current_setting('statement_timeout'), current_setting('search_path')")

    def step_simple(self):
        return [n for (n,) in self.open().query("SELECT n FROM generate_series(1, 3) AS n")]

    def step_parameters(self):
        c, total = self.open(), 0
        for i in range(1, 21):
            ((double, title),) = c.query("SELECT CAST($1 AS int) * 2, CAST($2 AS text)", i, f"book {i}")
            total += double
        return [total, title]

    def step_large(self):
        c, answers = self.open(), []
        for times in (340, 34000):
            text = "aé€" * times
            ((length, digest, back, size),) = c.query(
                "SELECT length(t), md5(t), t, length(b) FROM (SELECT CAST($1 AS text) AS t, CAST($2 AS bytea) AS b) AS s",
                text, text.encode())
            answers.append([length, digest, back == text and hashlib.md5(back.encode()).hexdigest() == digest, size])
        return answers

    def step_types(self):
        c, answers = self.open(), []
        for _ in range(REPETITIONS):
            ((null, array, document, blob, moment, name, price),) = c.query(
                "SELECT CAST($1 AS int), CAST($2 AS int[]), CAST($3 AS jsonb), CAST($4 AS bytea), CAST($5 AS timestamptz), "
                "CAST($6 AS text), CAST($7 AS numeric)",
                None, [1, 2, 3], c.json({"a": [1, None, "é"]}), b"\x00\x01\xff\\",
                datetime.datetime.fromtimestamp(1700000000, datetime.timezone.utc), "naïve", decimal.Decimal("12.50"))
            document = json.loads(document) if isinstance(document, str) else document
            row = [null, array, document, bytes(blob).hex(), int(moment.timestamp()), name, str(price)]
            if row not in answers:
                answers.append(row)
        return answers

    def step_concurrent(self):
        workers, rounds = 4, 20
        right, errors = [0] * workers, []
        with self.pool(workers) as lend:

            def work(worker):
                try:
                    for number in range(rounds):
                        with lend() as c:
                            name = f"worker {worker}"
                            c.run(f"SET application_name = '{name}'")
                            if c.query("SELECT current_setting('application_name'), CAST($1 AS int)", number) == [[name, number]]:
                                right[worker] += 1
                except Exception as error:
                    errors.append(error)

            threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(workers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if errors:
            raise errors[0]
        return right

    def step_batch(self):
        c = self.open()
        c.batch("INSERT INTO ticket VALUES ($1)", [[n] for n in range(1, 51)])
        return c.query("SELECT CAST(count(*) AS int), CAST(sum(n) AS int) FROM ticket")[0]

    def step_transaction(self):
        c, insert = self.open(), "INSERT INTO books VALUES ($1, $2)"
        c.begin()
        c.run(insert, 1, "kept")
        c.commit()
        c.begin()
        c.run(insert, 2, "lost")
        c.rollback()
        c.begin()
        c.run(insert, 3, "before")
        c.run("SAVEPOINT here")
        c.run(insert, 4, "lost")
        c.run("ROLLBACK TO SAVEPOINT here")
        c.run(insert, 5, "after")
        c.commit()
        return [title for (title,) in c.query("SELECT title FROM books WHERE id > $1 ORDER BY id", 0)]

    def step_set(self):
        c, place = self.open(), "SELECT name FROM place WHERE name <> $1"
        for _ in range(REPETITIONS):
            before = c.query(place, "")[0]
        c.run("SET search_path = two")
        c.run("SET TIME ZONE 'Asia/Kolkata'")
        c.run("SET statement_timeout = '41s'")
        c.run("SET application_name = 'reader'")
        return [before, [row + c.query(place, "")[0] for row in self.distinct(c, WHERE)]]

    def step_set_in_a_transaction(self):
        c, answers = self.open(), []
        c.begin()
        c.run("SET statement_timeout = '51s'")
        c.rollback()
        answers.append(self.setting(c, "statement_timeout"))
        c.begin()
        c.run("SET statement_timeout = '52s'")
        c.commit()
        answers.append(self.setting(c, "statement_timeout"))
        c.begin()
        c.run("SET statement_timeout = '53s'")
        c.run("SAVEPOINT here")
        c.run("SET statement_timeout = '54s'")
        c.run("ROLLBACK TO SAVEPOINT here")
        c.commit()
        return answers + [self.setting(c, "statement_timeout")]

    def step_set_local(self):
        c = self.open()
        c.begin()
        c.run("SET LOCAL statement_timeout = '61s'")
        inside = c.value("SELECT current_setting('statement_timeout')")
        c.commit()
        after = self.setting(c, "statement_timeout")
        c.query("SELECT set_config('timezone', $1, false)", "Asia/Tokyo")
        return [inside, after, self.setting(c, "TimeZone")]

    def step_reset(self):
        c, answers = self.open("shelf", SHELF), []
        c.run("SET search_path = two")
        answers.append(self.setting(c, "search_path"))
        c.run("RESET search_path")
        answers.append(self.setting(c, "search_path"))
        c.run("SET statement_timeout = '71s'")
        c.run("RESET ALL")
        return answers + [self.setting(c, "statement_timeout")]

    def step_role(self):
        c, who = self.open(), "SELECT CAST(current_user AS text)"
        c.run("SET ROLE reader")
        taken = self.distinct(c, who)
        c.run("RESET ROLE")
        return [name for (name,) in taken + self.distinct(c, who)]

    def step_prepare(self):
        c = self.open()
        c.run("PREPARE plan (int) AS SELECT $1 * 3")
        answers = [c.value("EXECUTE plan (4)") for _ in range(3)]
        c.run("DEALLOCATE plan")
        return answers + [self.code(c.query, "EXECUTE plan (4)")]

    def step_temporary_table(self):
        c, other = self.open(), self.open()
        exists = "SELECT CAST(to_regclass('basket') AS text)"
        c.run("CREATE TEMPORARY TABLE basket (n int)")
        for n in range(1, 5):
            c.run("INSERT INTO basket VALUES ($1)", n)
        total = c.value("SELECT CAST(sum(n) AS int) FROM basket")
        seen = other.value(exists)
        c.run("DROP TABLE basket")
        return [total, seen, c.value(exists)]

    def step_advisory_lock(self):
        c, other, answers = self.open(), self.open(), []
        c.query("SELECT pg_advisory_lock(42)")
        for _ in range(3):
            c.query("SELECT CAST($1 AS int)", 1)
            answers.append(other.value("SELECT pg_try_advisory_lock(42)"))
        answers.append(c.value("SELECT pg_advisory_unlock(42)"))
        answers.append(other.value("SELECT pg_try_advisory_lock(42)"))
        return answers + [other.value("SELECT pg_advisory_unlock(42)")]

    def step_cursor(self):
        numbers = [n for (n,) in self.open().cursor("SELECT n FROM generate_series(1, 1000) AS n", 100)]
        return [len(numbers), sum(numbers)]

    def step_held_cursor(self):
        pieces = list(self.open().held("SELECT n FROM generate_series(1, 300) AS n", 100))
        return [[len(rows) for rows in pieces], sum(n for rows in pieces for (n,) in rows)]

    def step_copy_in(self):
        c = self.open()
        c.copy_in("parcel", ["id", "title"], [(i, f"title {i}") for i in range(1, 501)])
        return c.query("SELECT CAST(count(*) AS int), CAST(sum(id) AS int) FROM parcel")[0]

    def step_copy_out(self):
        text = self.open().copy_out("SELECT n, 'title ' || n FROM generate_series(1, 300) AS n")
        numbers = [int(line.split("\t")[0]) for line in text.splitlines()]
        return [len(numbers), sum(numbers)]

    def step_listen(self):
        c, other = self.open(), self.open()
        c.listen("news")
        c.run("NOTIFY news, 'own'")
        c.query("SELECT CAST($1 AS int)", 1)
        other.begin()
        other.run("NOTIFY news, 'other 1'")
        other.query("SELECT pg_notify('news', 'other 2')")
        other.commit()
        payloads = c.notified(3, NOTIFY_PATIENCE)
        c.unlisten("news")
        other.run("NOTIFY news, 'late'")
        c.query("SELECT CAST($1 AS int)", 1)
        return payloads + c.notified(0, 0)

    def step_error(self):
        c = self.open()
        divide = "SELECT 1 / CAST($1 AS int)"
        answers = [self.code(c.query, divide, 0), self.code(c.run, "INSERT INTO books VALUES ($1, 'again')", 0)]
        c.begin()
        self.code(c.query, divide, 0)
        answers.append(self.code(c.query, "SELECT 1"))
        c.rollback()
        return answers + [c.value("SELECT CAST($1 AS int)", 7)]

    def step_cancel(self):
        c, other, codes = self.open(), self.open(), []
        waiting = threading.Thread(target=lambda: codes.append(self.code(c.query, "SELECT pg_sleep(10)")), daemon=True)
        waiting.start()
        asleep = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())"
        while waiting.is_alive() and not other.value(asleep):
            time.sleep(0.01)
        c.cancel()
        waiting.join()
        return codes + [c.value("SELECT CAST($1 AS int)", 1)]

    def step_changed_table(self):
        c, other = self.open(), self.open()
        read = "SELECT * FROM shelf WHERE id = $1"
        for _ in range(REPETITIONS):
            before = c.columns(read, 1)
        other.run("ALTER TABLE shelf ADD COLUMN colour text DEFAULT 'red'")
        while True:
            try:
                c.columns(read, 1)
                break
            except Exception as error:
                if self.retries == 2 or not self.sqlstate(error):
                    raise
                self.retries += 1
                if self.retries == 2:  # what the driver has kept is of no use any more
                    c = self.open()
        for _ in range(REPETITIONS):
            after = c.columns(read, 1)
        return [before, after]

    def step_close(self):
        c, other = self.open(), self.open()
        c.begin()
        c.run("INSERT INTO books VALUES (77, 'unfinished')")
        c.close()
        left = other.value("SELECT CAST(count(*) AS int) FROM books WHERE id = 77")
        c = self.open()
        c.query("SELECT pg_advisory_lock(77)")
        c.close()
        free = False
        until = time.monotonic() + NOTIFY_PATIENCE
        while not free and time.monotonic() < until:
            free = other.value("SELECT pg_try_advisory_lock(77)")
        other.query("SELECT pg_advisory_unlock_all()")
        return [left, free]
