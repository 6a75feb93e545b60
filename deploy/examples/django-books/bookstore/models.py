"""The tables."""

from django.core.validators import RegexValidator
from django.db import models


class Book(models.Model):
    isbn = models.CharField(
        "ISBN",
        primary_key=True,
        max_length=17,
        validators=[RegexValidator(r"\A[0-9-]{9,16}[0-9X]\Z", "An ISBN has 10 or 13 digits, perhaps with dashes.")],
    )
    author = models.CharField(max_length=200)
    title = models.CharField(max_length=200)

    class Meta:
        db_table = "books"
        ordering = ["author", "title", "isbn"]


class Shelf(models.Model):
    """One row: what the worker has counted last."""

    books = models.IntegerField()
    counted_at = models.DateTimeField()

    class Meta:
        db_table = "shelf"
