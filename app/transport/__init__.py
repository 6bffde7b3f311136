"""What brings events in and carries outcomes out."""
