"""Backups: rows of PostgreSQL and points of Qdrant in a folder of encrypted files, and back."""
