"""Which rows, where, and in which columns: stored, brought to a device, sampled."""
