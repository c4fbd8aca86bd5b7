"""Scoring a model honestly: predictions, metrics and the report."""
