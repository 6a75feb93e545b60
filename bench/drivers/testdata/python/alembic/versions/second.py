import sqlalchemy as sa
from alembic import op

revision = "0002_second"
down_revision = "0001_first"


def upgrade():
    op.add_column("volume", sa.Column("shelf", sa.Text, server_default="first"))
    op.execute("INSERT INTO volume (title, shelf) VALUES ('moved', 'second')")


def downgrade():
    op.execute("DELETE FROM volume")
    op.drop_column("volume", "shelf")
