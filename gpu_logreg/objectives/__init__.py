"""What is minimised, the mean loss over all rows or a sample plus penalties, and whether a point is its minimum."""
