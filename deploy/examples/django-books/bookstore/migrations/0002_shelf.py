"""What the worker counts."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("bookstore", "0001_books")]
    operations = [
        migrations.CreateModel(
            name="Shelf",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("books", models.IntegerField()),
                ("counted_at", models.DateTimeField()),
            ],
            options={"db_table": "shelf"},
        ),
        migrations.RunSQL(
            "INSERT INTO shelf (id, books, counted_at) SELECT 1, count(*), now() FROM books", migrations.RunSQL.noop
        ),
    ]
