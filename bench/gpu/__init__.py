"""What wants a GPU: ``check.py`` runs it all, ``prepare.py`` compiles for it elsewhere, the rest are their parts.

Each file that is a program runs as one, ``python bench/gpu/check.py``, and puts ``bench`` on the path; the others are
imported from there, as ``gpu.journal``.
"""
