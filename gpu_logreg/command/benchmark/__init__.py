"""``gpu-logreg bench``: how fast this machine reads rows, walks them in passes and fits models."""
