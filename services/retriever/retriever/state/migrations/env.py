"""What Alembic runs: the steps, on the connection and in the transaction of `state.migrate`."""

from alembic import context

from retriever.state.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
