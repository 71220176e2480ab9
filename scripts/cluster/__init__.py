"""The walls of the pods of a cluster, tried from inside, as `sandbox` tries those of containers."""
