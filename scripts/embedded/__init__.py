"""The embedded mode: the whole stack as processes on this machine, without containers."""
