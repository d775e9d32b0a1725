"""The engine: the deterministic equivalent of any rational expression in Gaussian matrices."""
