"""Cross-validation of logistic regression, and its models over the strengths of the penalty."""
