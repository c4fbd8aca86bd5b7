"""Checking a whole data set: every file read in guarded processes, then compared."""
