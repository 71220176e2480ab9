"""What a machine needs for the compose stack. Standard library only: it runs before any install."""
