"""What tests do not collect here: pages that are generated, and the settings of Sphinx."""

collect_ignore = ["conf.py", "_build", "theorems", "derivations", "reference"]
