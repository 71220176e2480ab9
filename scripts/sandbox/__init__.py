"""Tries to break the walls of a running stack, from inside its containers."""
