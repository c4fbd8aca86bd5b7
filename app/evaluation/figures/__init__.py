"""Figures from predictions alone: metrics, intervals, calibration, slices."""
