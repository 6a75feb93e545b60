"""Clients of libpq that keep their connections, as an application's pool does.

Each of them runs statements, with pauses now and then in which it looks at nothing, and one begins transactions. Who is told to
go (SQLSTATE 57P01, in answer to a statement) connects again and repeats the statement. Everything else that goes wrong is a
failure. When stdin ends, what came of it is written as a line of JSON.
"""

import json
import sys
import threading
import time

import psycopg2

url, clients = sys.argv[1], int(sys.argv[2])
stop = threading.Event()
lock = threading.Lock()
result = {"queries": 0, "told": 0, "failures": []}


def client(number):
    connection = None
    while not stop.is_set():
        try:
            if connection is None:
                connection = psycopg2.connect(url)
                connection.autocommit = number % 2 == 0
            cursor = connection.cursor()
            cursor.execute("SELECT pg_sleep(0.01)")
            if not connection.autocommit:
                cursor.execute("SELECT 1")
                connection.commit()
            with lock:
                result["queries"] += 1
            stop.wait(0.05 * (number % 4))
        except psycopg2.Error as error:
            with lock:
                if error.pgcode == "57P01":
                    result["told"] += 1
                elif len(result["failures"]) < 10:
                    result["failures"].append(f"client {number}: {error.pgcode}: {error}")
            connection = None


threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
for thread in threads:
    thread.start()
while result["queries"] < clients:
    time.sleep(0.01)
print("all at work", flush=True)
sys.stdin.read()
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(result), flush=True)
