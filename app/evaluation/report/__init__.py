"""The report: one HTML file, built from what lies in a run folder."""
