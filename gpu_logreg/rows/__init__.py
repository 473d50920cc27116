"""Which rows, where, and in which columns: how they are stored, copied to a device and sampled."""
