"""Relays the published port to the service behind it, so that the service needs no way out."""
