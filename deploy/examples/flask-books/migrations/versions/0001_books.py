"""The books, and three of them to begin with."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    books = op.create_table(
        "books",
        sa.Column("isbn", sa.Text, primary_key=True),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
    )
    op.bulk_insert(
        books,
        [
            {"isbn": "9780131103627", "author": "Brian W. Kernighan, Dennis M. Ritchie", "title": "The C Programming Language"},
            {"isbn": "9780134190440", "author": "Alan A. A. Donovan, Brian W. Kernighan", "title": "The Go Programming Language"},
            {"isbn": "9780201835953", "author": "Frederick P. Brooks Jr.", "title": "The Mythical Man-Month"},
        ],
    )


def downgrade():
    op.drop_table("books")
