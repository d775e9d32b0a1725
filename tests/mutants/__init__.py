"""Plant small mistakes in the package, one at a time, and see which the tests let live (``make mutants``)."""
