"""The plain formulas, for NumPy and CuPy alike: tests hold every faster pass to them."""
