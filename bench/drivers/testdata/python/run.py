"""Goes through steps with one driver: run.py DRIVER [VARIANT] STEP... The database is DATABASE_URL."""

import importlib
import json
import os
import sys

VARIANTS = {"psycopg2": 0, "psycopg3": 1, "sqlalchemy": 1, "django": 0, "alembic": 0, "asyncpg": 0}


def report(line):
    print(json.dumps(line), flush=True)


def main():
    name, arguments = sys.argv[1], sys.argv[2:]
    variants = VARIANTS[name]
    driver = importlib.import_module("with_" + name).Driver(os.environ["DATABASE_URL"], *arguments[:variants])
    for step in arguments[variants:]:
        try:
            report({"step": step, **driver.step(step)})
        except Exception as error:  # any: the next step is to be tried
            report({"step": step, "error": f"{type(error).__name__}: {error}"})
    sys.stdout.flush()
    os._exit(0)  # a thread that still waits for an answer is left behind


main()
