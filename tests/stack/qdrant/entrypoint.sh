#!/bin/sh
exec python qdrant_standin.py "$@"
