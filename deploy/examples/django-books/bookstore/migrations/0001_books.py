"""The books, and three of them to begin with."""

import django.core.validators
from django.db import migrations, models

SHELF = [
    ("9780131103627", "Brian W. Kernighan, Dennis M. Ritchie", "The C Programming Language"),
    ("9780134190440", "Alan A. A. Donovan, Brian W. Kernighan", "The Go Programming Language"),
    ("9780201835953", "Frederick P. Brooks Jr.", "The Mythical Man-Month"),
]


def fill(apps, _schema_editor):
    book = apps.get_model("bookstore", "Book")
    book.objects.bulk_create(book(isbn=isbn, author=author, title=title) for isbn, author, title in SHELF)


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            name="Book",
            fields=[
                (
                    "isbn",
                    models.CharField(
                        max_length=17,
                        primary_key=True,
                        serialize=False,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[0-9-]{9,16}[0-9X]\\Z", "An ISBN has 10 or 13 digits, perhaps with dashes."
                            )
                        ],
                        verbose_name="ISBN",
                    ),
                ),
                ("author", models.CharField(max_length=200)),
                ("title", models.CharField(max_length=200)),
            ],
            options={"db_table": "books", "ordering": ["author", "title", "isbn"]},
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
