"""What gunicorn serves: wsgi:app."""

from bookstore import create_app

app = create_app()
