from django.db import migrations, models


def fill(apps, schema_editor):
    apps.get_model("library", "Volume").objects.create(title="moved", shelf="second")


def empty(apps, schema_editor):
    apps.get_model("library", "Volume").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("library", "0001_first")]
    operations = [
        migrations.AddField("Volume", "shelf", models.TextField(default="first", db_index=True)),
        migrations.RunPython(fill, empty),
    ]
