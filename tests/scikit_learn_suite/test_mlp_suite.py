"""scikit-learn's tests of its MLPClassifier, of ours."""

from adapter import load

from gpu_logreg import MLPClassifier

globals().update(load("sklearn.neural_network.tests.test_mlp", {"MLPClassifier": MLPClassifier}))
