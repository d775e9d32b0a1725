"""Symbolic and numeric theory of recursive training on synthetic data (model collapse).

Describe a training pipeline once (who labels which samples, who fits on what) and get the derived formula, its LaTeX,
a fast numeric predictor and a Monte Carlo check. The names below are the public face; the stub ``__init__.pyi`` is
their only list, and each is imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
