"""Brings models into a volume, checked, before anything else starts."""
