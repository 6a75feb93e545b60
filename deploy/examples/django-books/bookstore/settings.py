"""Settings, all from the environment."""

import os

from django.core.management.utils import get_random_secret_key
from psycopg2.extensions import parse_dsn


def database():
    """DATABASES["default"] from DATABASE_URL, read by libpq itself."""
    options = parse_dsn(os.environ.get("DATABASE_URL", ""))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": options.pop("dbname", ""),
        "USER": options.pop("user", ""),
        "PASSWORD": options.pop("password", ""),
        "HOST": options.pop("host", ""),
        "PORT": options.pop("port", ""),
        "OPTIONS": options,
        # A new connection for each request, Django's default: behind carpool it
        # is cheap, and nobody has to find out whether an old one still lives.
        "CONN_MAX_AGE": 0,
        # A cursor on the server outlives its transaction, and so the server that
        # transaction mode lends for it.
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }


# Without a key of its own each process makes one up: enough for forms, as long
# as nobody logs in.
SECRET_KEY = os.environ.get("SECRET_KEY") or get_random_secret_key()
DEBUG = False
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "*").split()
DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = ["bookstore"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "bookstore.urls"
WSGI_APPLICATION = "bookstore.wsgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
USE_TZ = True
TIME_ZONE = "UTC"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
