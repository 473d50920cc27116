"""Pages of figures and tables on the scores of labelled rows and on a fit; no estimator is known here."""
