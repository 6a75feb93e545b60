"""asyncpg, with an event loop for each connection, which runs while the scenario waits."""

import asyncio
import io
import time

import asyncpg

import scenario


class Driver(scenario.Scenario):
    def __init__(self, url):
        self.url = url

    def connect(self, application_name, settings):
        given = {**settings, **({"application_name": application_name} if application_name else {})}
        loop = asyncio.new_event_loop()
        return Connection(loop, loop.run_until_complete(asyncpg.connect(self.url, server_settings=given)))

    def sqlstate(self, error):
        return getattr(error, "sqlstate", None)

    def step_concurrent(self):
        """The workers are tasks, as the driver's pool has it, which resets a connection that is given back."""
        workers, rounds = 4, 20

        async def work(pool, worker):
            right = 0
            for number in range(rounds):
                async with pool.acquire() as c:
                    name = f"worker {worker}"
                    await c.execute(f"SET application_name = '{name}'")
                    row = await c.fetchrow("SELECT current_setting('application_name'), CAST($1 AS int)", number)
                    right += tuple(row) == (name, number)
            return right

        async def all_workers():
            async with asyncpg.create_pool(self.url, min_size=1, max_size=workers) as pool:
                return await asyncio.gather(*(work(pool, worker) for worker in range(workers)))

        return asyncio.run(all_workers())

    def step_cancel(self):
        """A task that is cancelled: the driver asks the server to cancel, and waits until it has."""
        c, other = self.open(), self.open()

        async def cancelled():
            task = asyncio.ensure_future(c.connection.fetch("SELECT pg_sleep(10)"))
            await asyncio.sleep(0)
            while not await asyncio.to_thread(self.asleep, other):
                await asyncio.sleep(0.01)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                return time.monotonic()

        since = c.wait(cancelled())
        number = c.value("SELECT CAST($1 AS int)", 1)
        # The driver keeps the server's error to itself: that the connection is free long before its time stands for it.
        return ["57014" if time.monotonic() - since < 5 else None, number]

    def asleep(self, other):
        return other.value("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())")


class Connection(scenario.Connection):
    def __init__(self, loop, connection):
        self.loop = loop
        self.connection = connection
        self.transaction = None
        self.payloads = []
        self.arrived = None

    def wait(self, awaitable):
        return self.loop.run_until_complete(awaitable)

    def run(self, sql, *args):
        self.wait(self.connection.execute(sql, *args))

    def query(self, sql, *args):
        return [list(row) for row in self.wait(self.connection.fetch(sql, *args))]

    def columns(self, sql, *args):
        return list(self.wait(self.connection.fetch(sql, *args))[0].keys())

    def begin(self):
        self.transaction = self.connection.transaction()
        self.wait(self.transaction.start())

    def commit(self):
        self.wait(self.transaction.commit())

    def rollback(self):
        self.wait(self.transaction.rollback())

    def batch(self, sql, rows):
        self.wait(self.connection.executemany(sql, rows))

    def cursor(self, sql, size):
        async def read():
            async with self.connection.transaction():
                return [list(row) async for row in self.connection.cursor(sql, prefetch=size)]

        yield from self.wait(read())

    def copy_in(self, table, columns, rows):
        self.wait(self.connection.copy_records_to_table(table, columns=columns, records=rows))

    def copy_out(self, sql):
        out = io.BytesIO()
        self.wait(self.connection.copy_from_query(sql, output=out))
        return out.getvalue().decode()

    def heard(self, connection, pid, channel, payload):
        self.payloads.append(payload)
        if self.arrived:
            self.arrived.set()

    def listen(self, channel):
        self.wait(self.connection.add_listener(channel, self.heard))

    def unlisten(self, channel):
        self.wait(self.connection.remove_listener(channel, self.heard))

    def notified(self, count, patience):
        async def wait():
            self.arrived = asyncio.Event()
            while len(self.payloads) < count:
                self.arrived.clear()
                await asyncio.wait_for(self.arrived.wait(), patience)
            await asyncio.sleep(0)

        self.wait(wait())
        payloads, self.payloads = self.payloads, []
        return payloads

    def close(self):
        if not self.connection.is_closed():
            self.wait(self.connection.close())
        self.loop.close()
