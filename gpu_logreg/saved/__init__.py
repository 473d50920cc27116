"""How a model is kept in a file."""
