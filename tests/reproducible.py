"""What two runs with one seed have in common."""


def reproducible(metrics):
    """All figures of a metrics.json but for the time they took."""
    return {key: value for key, value in metrics.items() if key != "timings"}
