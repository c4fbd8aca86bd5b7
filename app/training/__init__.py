"""Training a model from a data set and a config."""
