"""Programs that run in containers: one file each, the standard library alone, JSON on stdout."""
