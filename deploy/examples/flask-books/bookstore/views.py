"""The pages."""

import re

from flask import Blueprint, redirect, render_template, request, url_for
from sqlalchemy import func, or_, select, text
from sqlalchemy.dialects.postgresql import insert

from .database import db
from .models import Book, Shelf

pages = Blueprint("pages", __name__)

PAGE_SIZE = 100
LONGEST = 200  # characters of a field
ISBN = re.compile(r"[0-9-]{9,16}[0-9X]")


@pages.get("/")
def list_books():
    return show_books()


@pages.post("/books")
def add_book():
    fields = {name: request.form.get(name, "").strip() for name in ("isbn", "author", "title")}
    problem = what_is_wrong(fields)
    if not problem:
        # The key decides, so two workers that add the same book can't both win.
        statement = insert(Book).values(**fields).on_conflict_do_nothing()
        added = db.session.execute(statement).rowcount
        db.session.commit()
        if added:
            return redirect(url_for("pages.list_books"), 303)
        problem = "There is a book with this ISBN already."
    return show_books(problem, fields), 400


@pages.get("/healthz")
def health():
    """200 while a query can be answered."""
    db.session.execute(text("SELECT 1"))
    return "ok\n", 200, {"Content-Type": "text/plain; charset=utf-8"}


def show_books(problem="", fields=None):
    wanted = request.args.get("q", "").replace("\0", "").strip()
    query = select(Book).order_by(Book.author, Book.title, Book.isbn).limit(PAGE_SIZE)
    if wanted:
        part = func.lower(wanted)
        query = query.where(
            or_(*(func.strpos(func.lower(column), part) > 0 for column in (Book.isbn, Book.author, Book.title)))
        )
    return render_template(
        "books.html",
        books=db.session.scalars(query).all(),
        shelf=db.session.get(Shelf, 1),
        wanted=wanted,
        problem=problem,
        fields=fields or {},
        longest=LONGEST,
    )


def what_is_wrong(fields):
    """A sentence for whoever filled in the form, empty if all is well."""
    if not all(fields.values()):
        return "A book needs an ISBN, an author and a title."
    if any(len(value) > LONGEST or "\0" in value for value in fields.values()):
        return f"At most {LONGEST} characters, please."
    if not ISBN.fullmatch(fields["isbn"]):
        return "An ISBN has 10 or 13 digits, perhaps with dashes."
    return ""
