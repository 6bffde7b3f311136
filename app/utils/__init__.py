"""Logging set-up, and nothing else."""
