"""Inspection: frozen snapshots of what stands in Redis, for the CLI and the console. Everything here only
reads.
"""
