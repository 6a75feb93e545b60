"""What drivers by Python's database API have in common."""

import re

import scenario


def options(settings):
    """Start-up parameters, as libpq takes them."""
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def parameters(application_name, settings):
    given = {"application_name": application_name, "options": options(settings)}
    return {name: value for name, value in given.items() if value}


class Connection(scenario.Connection):
    """A connection whose transactions begin by themselves, as they do by default."""

    def __init__(self, connection):
        self.connection = connection
        self.explicit = False

    def execute(self, cursor, sql, args):
        if args:
            cursor.execute(re.sub(r"\$\d", "%s", sql), args)
        else:
            cursor.execute(sql)

    def fetch(self, sql, args):
        """Returns the columns' names and the rows."""
        with self.connection.cursor() as cursor:
            try:
                self.execute(cursor, sql, args)
                if cursor.description is None:
                    columns, rows = [], []
                else:
                    columns, rows = [column[0] for column in cursor.description], [list(row) for row in cursor.fetchall()]
            except Exception:
                if not self.explicit:
                    self.connection.rollback()
                raise
        if not self.explicit:
            self.connection.commit()
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
        self.connection.commit()
        self.explicit = False

    def rollback(self):
        self.connection.rollback()
        self.explicit = False

    def batch(self, sql, rows):
        with self.connection.cursor() as cursor:
            cursor.executemany(re.sub(r"\$\d", "%s", sql), rows)
        self.connection.commit()

    def cancel(self):
        self.connection.cancel()

    def close(self):
        self.connection.close()
