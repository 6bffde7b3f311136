"""Faults on a schedule, and a ledger that tells whether an event was lost, doubled or answered twice differently."""
