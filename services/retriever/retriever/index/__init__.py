"""What is known and who may see it: vectors in Qdrant, documents in SQLite, one filter."""
