"""What measures: each module is a bench with a command line, `python -m bench.NAME --help`."""

from bulkhead.proxies import spare

spare()  # what is measured is on this machine, and a proxy between would be measured too
