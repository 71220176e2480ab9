"""What measures: each module is a bench with a command line, `python -m bench.NAME --help`."""
