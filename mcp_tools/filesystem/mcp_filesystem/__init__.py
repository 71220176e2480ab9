"""Read-only files for a model, below one root that the kernel enforces."""
