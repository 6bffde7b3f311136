"""How fast the service is, beside an echo that keeps the same promise and does nothing else."""
