"""What the migrations make."""

from django.db import models


class Volume(models.Model):
    title = models.TextField()
    shelf = models.TextField(default="first", db_index=True)
