"""The pages."""

from django.db import connection
from django.db.models import Q
from django.forms import ModelForm
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from .models import Book, Shelf

PAGE_SIZE = 100
TAKEN = "There is a book with this ISBN already."


class BookForm(ModelForm):
    class Meta:
        model = Book
        fields = ["isbn", "author", "title"]
        error_messages = {"isbn": {"unique": TAKEN}}


@require_safe
def list_books(request):
    return show_books(request, BookForm())


@require_POST
def add_book(request):
    form = BookForm(request.POST)
    if form.is_valid():
        # The form has looked, but only the key decides between two workers that
        # add the same book.
        fields = dict(form.cleaned_data)
        _, added = Book.objects.get_or_create(isbn=fields.pop("isbn"), defaults=fields)
        if added:
            response = redirect("list_books")
            response.status_code = 303
            return response
        form.add_error("isbn", TAKEN)
    return show_books(request, form, 400)


@require_safe
def health(_request):
    """200 while a query can be answered."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8")


def show_books(request, form, status=200):
    wanted = request.GET.get("q", "").replace("\0", "").strip()
    books = Book.objects.all()
    if wanted:
        books = books.filter(Q(isbn__icontains=wanted) | Q(author__icontains=wanted) | Q(title__icontains=wanted))
    page = {"books": books[:PAGE_SIZE], "shelf": Shelf.objects.get(pk=1), "wanted": wanted, "form": form}
    return render(request, "books.html", page, status=status)
