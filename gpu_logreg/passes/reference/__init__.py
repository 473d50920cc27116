"""The obvious formulas, for NumPy and CuPy alike: the oracle of every fast pass."""
