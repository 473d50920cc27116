"""scikit-learn's estimators with the fits of this package, and their place in scripts that import scikit-learn's."""
