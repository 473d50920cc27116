"""Logistic regression as an estimator."""
