"""The benchmark of fits: named problems, an adapter for each peer, one runner; `bench/run.py` is its command line."""
