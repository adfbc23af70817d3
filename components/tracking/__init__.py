"""Where runs are tracked: MLflow, opened as a whole, and Weights & Biases where it is asked for."""
