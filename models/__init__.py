"""From frames to logits; knows nothing of files."""
