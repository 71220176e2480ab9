"""The Helm chart: its values as a schema and as a table, and what a release writes into it."""
