"""What one pass of a model says, and where the model keeps it."""
