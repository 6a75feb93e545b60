"""The penny bookstore: books that can be listed, searched and added."""

from flask import Flask

from .database import db, engine_options, sqlalchemy_url
from .views import pages


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = sqlalchemy_url()
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options()
    # A form field is a line of text; nothing larger is meant for us.
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
    db.init_app(app)
    app.register_blueprint(pages)
    return app
