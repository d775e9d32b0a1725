"""What the documentation generates from the package: a page per theorem and per derivation, the reference, the book."""
