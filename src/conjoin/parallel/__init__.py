"""Batches, threads and processes: how work is shared out on one machine."""
