"""Compiled loops over rows of logits and over bootstrap replicates (numba).

Importing numba takes longer than importing the rest of the library, so its users import kernels
inside the functions that need them. Every kernel runs on one thread, in a fixed order: results do
not depend on the number of threads.
"""
