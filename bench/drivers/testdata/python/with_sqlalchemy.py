"""SQLAlchemy, by way of psycopg2 or asyncpg."""

import asyncio
import contextlib
import re
import threading

import sqlalchemy
import sqlalchemy.ext.asyncio

import dbapi
import scenario


class Driver(scenario.Scenario):
    def __init__(self, url, dialect):
        self.dialect = dialect
        self.url = url.replace("postgres://", f"postgresql+{dialect}://")

    def arguments(self, application_name, settings):
        if self.dialect == "psycopg2":
            return dbapi.parameters(application_name, settings)
        return {"server_settings": {**settings, **({"application_name": application_name} if application_name else {})}}

    def connect(self, application_name, settings):
        arguments = {"connect_args": self.arguments(application_name, settings)}
        if self.dialect == "asyncpg":
            return AsyncConnection(sqlalchemy.ext.asyncio.create_async_engine(self.url, **arguments), asyncio.new_event_loop())
        return Connection(sqlalchemy.create_engine(self.url, future=True, **arguments))

    def sqlstate(self, error):
        return getattr(getattr(error, "orig", None), "pgcode", None)

    @contextlib.contextmanager
    def pool(self, size):
        if self.dialect == "asyncpg":  # whose pool belongs to an event loop: each worker has its own
            kept = threading.local()

            @contextlib.contextmanager
            def lend():
                if not hasattr(kept, "loop"):
                    kept.loop = asyncio.new_event_loop()
                    kept.engine = sqlalchemy.ext.asyncio.create_async_engine(self.url, pool_size=1)
                connection = AsyncConnection(kept.engine, kept.loop)
                yield connection
                connection.wait(connection.connection.close())

            yield lend
            return
        shared = sqlalchemy.create_engine(self.url, future=True, pool_size=size, max_overflow=0)

        @contextlib.contextmanager
        def lend():
            connection = Connection(shared)
            try:
                yield connection
            finally:
                connection.connection.close()

        yield lend
        shared.dispose()


def named(sql):
    """A query with its parameters as SQLAlchemy writes them."""
    return sqlalchemy.text(re.sub(r"\$(\d)", r":p\1", sql))


def arguments(args):
    return {f"p{number}": value for number, value in enumerate(args, 1)}


class Common(scenario.Connection):
    """What is the same with and without an event loop. Subclasses do what a coroutine or a plain method has to do."""

    explicit = False

    def fetch(self, sql, args):
        try:
            result = self.execute(named(sql) if args else sqlalchemy.text(sql.replace(":", r"\:")), arguments(args))
            columns, rows = ([], [])
            if result.returns_rows:
                columns, rows = list(result.keys()), [list(row) for row in result.all()]
        except Exception:
            if not self.explicit:
                self.finish("rollback")
            raise
        if not self.explicit:
            self.finish("commit")
        return columns, rows

    def run(self, sql, *args):
        self.fetch(sql, args)

    def query(self, sql, *args):
        return self.fetch(sql, args)[1]

    def columns(self, sql, *args):
        return self.fetch(sql, args)[0]

    def begin(self):
        self.explicit = True

    def commit(self):
        self.finish("commit")
        self.explicit = False

    def rollback(self):
        self.finish("rollback")
        self.explicit = False

    def batch(self, sql, rows):
        self.execute(named(sql), [arguments(row) for row in rows])
        self.finish("commit")


class Connection(Common):
    def __init__(self, engine):
        self.engine = engine
        self.connection = engine.connect()

    def execute(self, statement, given):
        return self.connection.execute(statement, given)

    def finish(self, how):
        getattr(self.connection, how)()

    def cursor(self, sql, size):
        streaming = self.connection.execution_options(stream_results=True, max_row_buffer=size)
        for row in streaming.execute(sqlalchemy.text(sql)):
            yield list(row)
        self.connection.commit()

    def close(self):
        self.connection.invalidate()  # as it is, without the rollback that its return to the pool would be
        self.connection.close()
        self.engine.dispose()


class AsyncConnection(Common):
    def __init__(self, engine, loop):
        self.loop = loop
        self.engine = engine
        self.connection = self.wait(engine.connect())

    def wait(self, awaitable):
        async def awaited():
            return await awaitable

        return self.loop.run_until_complete(awaited())

    def execute(self, statement, given):
        return self.wait(self.connection.execute(statement, given))

    def finish(self, how):
        self.wait(getattr(self.connection, how)())

    def cursor(self, sql, size):
        async def stream():
            result = await self.connection.stream(sqlalchemy.text(sql), execution_options={"max_row_buffer": size})
            rows = [list(row) async for row in result]
            await self.connection.commit()
            return rows

        yield from self.wait(stream())

    def close(self):
        self.wait(self.connection.invalidate())
        self.wait(self.connection.close())
        self.wait(self.engine.dispose())
        self.loop.close()
