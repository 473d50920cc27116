"""The compiled loops themselves, and what they are made of."""
