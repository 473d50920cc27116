"""Where an array lives, how it is cut, and the loops that are compiled for it: no mathematics."""
