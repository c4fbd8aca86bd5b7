"""Using a trained model: scores for video files."""
