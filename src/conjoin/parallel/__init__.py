"""Batches, threads and processes on one machine."""
