"""Measures the retriever through its HTTP API on judged collections."""

from bulkhead.proxies import spare

spare()  # what is measured is on this machine, and a proxy between would be measured too
