"""The tables. migrations/versions is what makes them."""

from .database import db


class Book(db.Model):
    __tablename__ = "books"

    isbn = db.Column(db.Text, primary_key=True)
    author = db.Column(db.Text, nullable=False)
    title = db.Column(db.Text, nullable=False)


class Shelf(db.Model):
    """One row: what the worker has counted last."""

    __tablename__ = "shelf"

    id = db.Column(db.Integer, primary_key=True)
    books = db.Column(db.Integer, nullable=False)
    counted_at = db.Column(db.DateTime(timezone=True), nullable=False)
