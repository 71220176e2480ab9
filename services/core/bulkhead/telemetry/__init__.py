"""Traces and metrics: what they are called (`names`), the instruments, how they leave a process."""
