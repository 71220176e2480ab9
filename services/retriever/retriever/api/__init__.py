"""The HTTP surface: one module a noun. It calls ingest, index and answer; nothing calls it."""
