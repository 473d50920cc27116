"""Networks of dense layers as an estimator."""
