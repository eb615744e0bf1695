"""Lets Alembic work on the connection that `schema.migrate` gives it, in its transaction."""

from alembic import context

from weightcast_server.storing.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
