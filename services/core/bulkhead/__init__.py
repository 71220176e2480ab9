"""What every Bulkhead service shares, and nothing else."""

__version__ = "0.1.0"
"""The version of all parts, by SemVer; whatever else states one takes it from here."""
