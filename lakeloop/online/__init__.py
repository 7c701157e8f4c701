"""What a model in production is asked for: predictions of single rows, in microseconds, that equal what the model itself predicts."""
