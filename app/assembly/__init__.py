"""The parts of the composition root: each builds and starts what belongs together."""
