"""What outlives a process, in PostgreSQL: tables, their migrations, locks, news of changes."""
