"""Which member of a family of kernels suits rows of a given width, storage and number of classes."""
