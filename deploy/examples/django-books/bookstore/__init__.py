"""The penny bookstore: books that can be listed, searched and added."""
