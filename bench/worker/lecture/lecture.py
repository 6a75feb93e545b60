"""The lecture's benchmark as a worker: calls get_books() from threads, with psycopg2 and SQLAlchemy.

It reads a job as one line of JSON from standard input, says when it is ready, waits for the line "go", makes its calls,
tells its progress ten times a second, and ends with its result. Every line that it writes is one JSON object.
"""

import contextlib
import itertools
import json
import logging
import os
import random
import re
import resource
import signal
import sys
import threading
import time

import psycopg2
import psycopg2.extensions
import psycopg2.pool

GRACE = 10.0  # seconds that a call may run on after the end of the duration
LONGEST_PAUSE = 1.0  # seconds before a connection that couldn't be opened is tried again
EXAMPLES = 6


class Failed(Exception):
    """Why the job can't start, in a sentence."""


# What a call is: a question to the database, and the answer that is right.


class Books:
    """get_books(): one book by its ISBN. The table tells the right answers itself, before the calls begin."""

    def __init__(self, conn, schema):
        self.sql = "SELECT isbn, author, title FROM %s.books WHERE isbn = %%(isbn)s" % schema
        with conn.cursor() as cursor:
            cursor.execute("SELECT isbn, author, title FROM %s.books ORDER BY isbn" % schema)
            self.books = cursor.fetchall()
        if not self.books:
            raise Failed("the table of books is empty")

    def question(self, dice):
        book = dice.choice(self.books)
        return {"isbn": book[0]}, [book]

    def wrong(self, thread, args, rows):
        given = "no book" if not rows else "book %s (%s)" % (rows[0][0], json.dumps(rows[0][2], ensure_ascii=False))
        return "thread %d asked for book %s and was given %s" % (thread, args["isbn"], given)


class Select1:
    sql = "SELECT 1"

    def question(self, dice):
        return {}, [(1,)]

    def wrong(self, thread, args, rows):
        return "thread %d asked for 1 and was given %s" % (thread, json.dumps([list(row) for row in rows], default=str))


# How a thread comes by a connection. connected is how many are open before the calls begin.


def transact(conn, sql, args):
    """One call as psycopg2 does it: it sends BEGIN before the statement. The second answer is whether the transaction was
    still ours when the rows were there: only another thread's commit can have ended it."""
    try:
        with conn.cursor() as cursor:
            cursor.execute(sql, args)
            rows = cursor.fetchall()
        ours = conn.get_transaction_status() != psycopg2.extensions.TRANSACTION_STATUS_IDLE
        conn.commit()
        return rows, ours
    except psycopg2.Error:
        with contextlib.suppress(psycopg2.Error):
            conn.rollback()
        raise


class Connect:
    """A connection for every call."""

    def __init__(self, url, size):
        self.url, self.connected = url, 0

    def call(self, sql, args):
        conn = psycopg2.connect(self.url)
        try:
            return transact(conn, sql, args)
        finally:
            conn.close()


class GlobalUnsafe:
    """One connection for the process, as a module-level variable would hold it. psycopg2 lets one thread at a time execute a
    statement on it and keeps the rows of each apart; what nothing keeps apart is the transaction."""

    def __init__(self, url, size):
        self.url, self.connected = url, 1
        self.conn = psycopg2.connect(url)

    def call(self, sql, args):
        if self.conn.closed:
            self.conn = psycopg2.connect(self.url)
        return transact(self.conn, sql, args)


class Global(GlobalUnsafe):
    """The same with a lock around the whole call."""

    def __init__(self, url, size):
        super().__init__(url, size)
        self.lock = threading.Lock()

    def call(self, sql, args):
        with self.lock:
            return super().call(sql, args)


class DriverPool:
    """psycopg2's own pool. It keeps no more connections than its minimum, and has an exception for whoever comes when all are
    lent: hence equal bounds, and a semaphore to wait at."""

    def __init__(self, url, size):
        self.connected = size
        self.turns = threading.Semaphore(size)
        self.pool = psycopg2.pool.ThreadedConnectionPool(size, size, url)

    def call(self, sql, args):
        with self.turns:
            conn = self.pool.getconn()
            try:
                return transact(conn, sql, args)
            finally:
                self.pool.putconn(conn, close=bool(conn.closed))


class SQLAlchemyPool:
    """SQLAlchemy's QueuePool under an engine, which rolls back when a connection is returned."""

    def __init__(self, url, size):
        try:
            import sqlalchemy
        except ImportError:
            raise Failed("this Python has no SQLAlchemy") from None
        # It logs the stack of what goes wrong on a return to the pool. The call has that error already, and it is counted.
        logging.getLogger("sqlalchemy").setLevel(logging.CRITICAL)
        self.text = sqlalchemy.text
        # The connection is made by libpq from the URL as it is: SQLAlchemy knows no postgres://, and reads escapes and
        # socket directories in its own way.
        self.engine = sqlalchemy.create_engine(
            "postgresql+psycopg2://", creator=lambda: psycopg2.connect(url), pool_size=size, max_overflow=0
        )
        with contextlib.ExitStack() as stack:
            for _ in range(size):
                stack.enter_context(self.engine.connect())
        self.connected = size

    def call(self, sql, args):
        sql = self.text(re.sub(r"%\((\w+)\)s", r":\1", sql))
        with self.engine.connect() as conn:
            return [tuple(row) for row in conn.execute(sql, args)], True


TECHNIQUES = {
    "connect": Connect,
    "global": Global,
    "global-unsafe": GlobalUnsafe,
    "driver-pool": DriverPool,
    "sqlalchemy-pool": SQLAlchemyPool,
}


def check(job):
    """Refuses what this program can't do; package lecture says the same in Go."""
    workload, schema = job["workload"], job["place"]["schema"]
    if job["technique"] not in TECHNIQUES:
        raise Failed("the Python program doesn't know the technique %s" % job["technique"])
    if job["script"]:
        raise Failed("the Python program can't run scripts")
    if workload not in ("books", "select1"):
        raise Failed("the Python program knows the workloads books and select1, not %s" % workload)
    if workload == "books" and not re.match(r"[a-z_][a-z0-9_]*\Z", schema):
        raise Failed("the Python program takes no schema with a name that needs quotes")
    if job["protocol"] not in ("", "simple"):
        raise Failed("psycopg2 speaks the simple protocol only, not the %s one" % job["protocol"])
    if job["rate"] > 0:
        raise Failed("the Python program can't call at a given rate")
    if job["idle_clients"] > 0:
        raise Failed("the Python program keeps no idle connections")
    if job["clients"] < 1:
        raise Failed("the Python program needs at least one client")
    if job["duration"] <= 0 and job["calls"] <= 0:
        raise Failed("the Python program needs a duration or a number of calls")


def sqlstate(error):
    """The key under which an error is counted. psycopg2 has no SQLSTATE for a refused connection; where too many are open
    the server's words tell."""
    error = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's
    if getattr(error, "pgcode", None):
        return error.pgcode
    words = ("too many clients", "too many connections", "remaining connection slots", "no more connections allowed")
    if any(word in str(error) for word in words):
        return "53300"
    return "connection"


class Client(threading.Thread):
    """One thread and all that came of it. Only it writes its fields; the main thread reads them."""

    def __init__(self, run, number):
        super().__init__(daemon=True)
        self.run_, self.thread = run, number + 1  # sentences count threads from 1
        self.dice = random.Random("%d/%d" % (run.job["seed"], number))
        self.calls = self.failures = self.wrong = self.mixed = 0
        self.latency, self.errors, self.examples = {}, {}, {}
        self.first_error = ""
        self.last = 0  # when the latest call ended

    def run(self):
        job, limit = self.run_.job, self.run_.job["calls"]
        self.run_.begin.wait()
        end = self.run_.began + job["duration"] if job["duration"] > 0 else None
        pause = 0.0
        while not self.run_.stopped:
            if end is not None and time.perf_counter_ns() >= end:
                break
            if limit > 0 and next(self.run_.taken) >= limit:
                break
            pause = self.turn(pause)
            if pause > 0:
                time.sleep(pause)
            if job["think_time"] > 0:
                time.sleep(job["think_time"] / 1e9)

    def turn(self, pause):
        """One call. It returns the pause that is due before the next: longer each time a connection can't be had."""
        workload = self.run_.workload
        args, right = workload.question(self.dice)
        began = time.perf_counter_ns()
        try:
            rows, ours = self.run_.technique.call(workload.sql, args)
        except Exception as error:  # whatever the driver raises is a result of the benchmark
            self.last = time.perf_counter_ns()
            return self.fail(error, pause)
        self.last = time.perf_counter_ns()
        if rows != right:
            self.failures += 1
            self.wrong += 1
            self.examples.setdefault("wrong", workload.wrong(self.thread, args, rows))
        elif not ours:
            self.failures += 1
            self.mixed += 1
            self.examples.setdefault(
                "mixed",
                "thread %d asked a question in a transaction, and another thread had ended that transaction before thread "
                "%d did" % (self.thread, self.thread),
            )
        else:
            self.calls += 1
            key = bucket(self.last - began)
            self.latency[key] = self.latency.get(key, 0) + 1
        return 0.0

    def fail(self, error, pause):
        key = sqlstate(error)
        self.failures += 1
        self.errors[key] = self.errors.get(key, 0) + 1
        self.first_error = self.first_error or self.run_.sentence(error)
        if key in ("connection", "53300"):
            return min(max(2 * pause, 0.01), LONGEST_PAUSE)
        return 0.0


def bucket(nanoseconds):
    """Rounds to three digits: the middle of 1,024 steps to each power of two, as a histogram would have it."""
    shift = max(0, nanoseconds.bit_length() - 11)
    return (nanoseconds >> shift << shift) + ((1 << shift) >> 1)


class Run:
    """A job under way."""

    def __init__(self, job):
        check(job)
        self.job = job
        self.began = 0
        self.stopped = False
        self.begin = threading.Event()
        self.taken = itertools.count()
        try:
            self.password = psycopg2.extensions.parse_dsn(job["url"]).get("password", "")
        except psycopg2.Error:  # whose text may quote a part of the password
            raise Failed("the URL of the database can't be read") from None
        try:
            self.workload = self.learn()
            size = job["pool_size"] if job["pool_size"] > 0 else job["clients"]
            self.technique = TECHNIQUES[job["technique"]](job["url"], size)
        except Failed:
            raise
        except Exception as error:
            raise Failed(self.sentence(error)) from None
        self.clients = [Client(self, job["first_client"] + n) for n in range(job["clients"])]

    def learn(self):
        if self.job["workload"] == "select1":
            return Select1()
        conn = psycopg2.connect(self.job["url"])
        try:
            return Books(conn, self.job["place"]["schema"])
        finally:
            conn.close()

    def sentence(self, error):
        """What an error says, as one line that has no password in it."""
        text = " ".join(str(getattr(error, "orig", error)).split())
        if self.password:
            text = text.replace(self.password, "...")
        return text or type(error).__name__

    def measure(self, parent):
        """Tells that all is ready, waits for the word, and returns the result."""
        for client in self.clients:
            client.start()
        say(ready={"connected": self.technique.connected, "idle": 0})
        if parent.line() != "go":
            os._exit(1)
        threading.Thread(target=self.listen, args=(parent,), daemon=True).start()
        cpu = cpu_nanoseconds()
        self.began = time.perf_counter_ns()
        self.begin.set()
        self.watch()
        return self.result(cpu_nanoseconds() - cpu)

    def listen(self, parent):
        """Ends with the parent, or at its word."""
        while True:
            line = parent.line()
            if line is None:
                os._exit(1)
            if line == "stop":
                self.stopped = True

    def watch(self):
        """Waits for the clients; those that hang after the end are left behind."""
        duration = self.job["duration"]
        late = self.began + duration + int(GRACE * 1e9) if duration > 0 else None
        due = time.monotonic()
        for client in self.clients:
            while client.is_alive():
                if late is not None and time.perf_counter_ns() >= late:
                    return
                client.join(max(0.0, min(0.1, due - time.monotonic())))
                if time.monotonic() >= due:
                    due = time.monotonic() + 0.1
                    say(progress={"calls": sum(c.calls for c in self.clients), "errors": sum(c.failures for c in self.clients)})

    def result(self, cpu):
        latency, errors = {}, {}
        for client in self.clients:
            add(latency, client.latency)
            add(errors, client.errors)
        hung = sum(client.is_alive() for client in self.clients)
        if hung:
            add(errors, {"timeout": hung})
        # One of each kind from every thread in turn, so that none takes all the room.
        examples = [client.examples[kind] for kind in ("wrong", "mixed") for client in self.clients if kind in client.examples]
        ends = [client.last for client in self.clients if client.last]
        return {
            "elapsed": max(ends, default=self.began) - self.began,
            "calls": sum(client.calls for client in self.clients),
            "connected": len(self.clients),
            "idle": 0,
            "latency": sorted(latency.items()),
            "errors": errors,
            "wrong_answers": sum(client.wrong for client in self.clients),
            "mixed_transactions": sum(client.mixed for client in self.clients),
            "protocol_errors": 0,
            "examples": examples[:EXAMPLES],
            "first_error": next((client.first_error for client in self.clients if client.first_error), ""),
            "due": 0,
            "unstarted": 0,
            "cpu": cpu,
        }


def add(counts, more):
    for key, count in list(more.items()):
        counts[key] = counts.get(key, 0) + count


def cpu_nanoseconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def say(**message):
    """Writes one line. A parent that is gone is no one to tell."""
    line = (json.dumps(message) + "\n").encode()
    try:
        while line:
            line = line[os.write(1, line) :]
    except OSError:
        os._exit(1)


class Input:
    """Standard input, line by line. It reads the descriptor itself: a thread that waits in sys.stdin would be in the way when
    the interpreter ends."""

    def __init__(self):
        self.held = b""

    def line(self):
        """The next line, None at the end."""
        while b"\n" not in self.held:
            more = os.read(0, 65536)
            if not more:
                return None
            self.held += more
        line, _, self.held = self.held.partition(b"\n")
        return line.decode().strip()


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        parent = Input()
        line = parent.line()
        if line is None:
            raise Failed("no job was given")
        result = Run(json.loads(line)).measure(parent)
    except Failed as failed:
        say(failed=str(failed))
        os._exit(1)
    say(result=result)
    os._exit(0)  # threads that hang aren't waited for


main()
