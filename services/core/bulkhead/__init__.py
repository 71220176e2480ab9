"""What every Bulkhead service shares, and nothing else."""
