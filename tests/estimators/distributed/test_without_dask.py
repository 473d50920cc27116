"""Where Dask is not installed, its door says what to install, and all else is as ever."""

from fresh_process import run_fresh


def test_the_door_says_what_to_install():
    code = """
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("dask", "distributed"):
                    raise ModuleNotFoundError(name)

        sys.meta_path.insert(0, Absent())
        import gpu_logreg
        gpu_logreg.LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 1])
        try:
            import gpu_logreg.dask
        except gpu_logreg.errors.MissingDependencyError as error:
            print(error)
    """
    assert run_fresh(code) == "gpu_logreg.dask needs Dask's scheduler; pip install 'gpu-logreg[dask]'"
