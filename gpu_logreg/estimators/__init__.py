"""What scikit-learn sees: the estimators, what they take and what they give back."""
