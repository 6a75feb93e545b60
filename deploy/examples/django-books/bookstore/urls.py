"""Which address is which page."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.list_books, name="list_books"),
    path("books", views.add_book, name="add_book"),
    path("healthz", views.health, name="health"),
]
