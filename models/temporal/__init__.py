"""What carries features over time: registry and implementations."""
