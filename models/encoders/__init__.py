"""One CNN for all frames: registry and implementations of the encoders."""
