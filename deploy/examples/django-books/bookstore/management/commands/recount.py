"""The worker: counts the books every few seconds, until it is told to stop."""

import os
import signal
import threading

from bookstore.models import Book, Shelf
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection
from django.utils import timezone


class Command(BaseCommand):
    help = "Counts the books every few seconds, until it is told to stop."

    def handle(self, *args, **options):
        stop = threading.Event()
        signals = (signal.SIGTERM, signal.SIGINT)

        def told(*_):
            # Platforms say it several times. When Python ends, what isn't ignored kills.
            for number in signals:
                signal.signal(number, signal.SIG_IGN)
            stop.set()

        for number in signals:
            signal.signal(number, told)
        pause = float(os.environ.get("COUNT_EVERY", "5"))
        print("worker: counting", flush=True)
        # The round that runs when the signal comes is finished.
        while not stop.is_set():
            try:
                Shelf.objects.filter(pk=1).update(books=Book.objects.count(), counted_at=timezone.now())
            except OperationalError as error:
                # A database that is being restarted comes back.
                print(f"worker: {error}".strip(), flush=True)
            connection.close_if_unusable_or_obsolete()
            stop.wait(pause)
        print("worker: stopped", flush=True)
