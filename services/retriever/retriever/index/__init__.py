"""What is known and who may see it: vectors in Qdrant, documents in PostgreSQL, one filter."""
