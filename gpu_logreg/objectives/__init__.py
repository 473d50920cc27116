"""What is minimised: a loss over rows with its penalty, on all rows and on samples, and whether a point is its
minimum.
"""
