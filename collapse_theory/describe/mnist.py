"""MNIST: from any local copy in the original format, else downloaded once by scikit-learn."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np

from collapse_theory.core.errors import DomainError, shown

__all__ = ["mnist"]

_VARIABLE = "COLLAPSE_THEORY_MNIST"
_STEMS = ("t10k", "train")  # the 10,000 test images come first: they are the smaller file
_SIDE = 28
_IMAGES, _LABELS = 0x803, 0x801  # magic numbers: unsigned bytes in three dimensions, and in one


def mnist() -> tuple[str, np.ndarray, np.ndarray]:
    """Return MNIST: pixels between 0 and 1, and the digit as a standardised real target.

    The folder that the environment variable ``COLLAPSE_THEORY_MNIST`` names holds ``t10k-images-idx3-ubyte`` and
    ``t10k-labels-idx1-ubyte``, or those of ``train``, compressed (.gz) or not. Without the variable scikit-learn downloads the set
    from openml.org, once, into its own cache.

    Raises:
        DomainError: If the folder has no such files, they are damaged, or the download fails.
    """
    folder = os.environ.get(_VARIABLE)
    pixels, labels = _downloaded() if not folder else _local(Path(folder))
    y = (labels - labels.mean()) / labels.std()
    return f"{len(y):,} images of MNIST; pixels divided by 255, labels standardised", pixels / 255, y


def _local(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    for stem in _STEMS:
        images, labels = _bytes(folder / f"{stem}-images-idx3-ubyte"), _bytes(folder / f"{stem}-labels-idx1-ubyte")
        if images is not None and labels is not None:
            X, y = _array(images, _IMAGES, 16, folder), _array(labels, _LABELS, 8, folder)
            if X.size != y.size * _SIDE**2:
                raise DomainError(
                    f"mnist needs one label per image, got {X.size // _SIDE**2} images and {y.size} labels in "
                    f"{shown(str(folder))}; download the files again"
                )
            return X.reshape(-1, _SIDE**2).astype(float), y.astype(float)
    raise DomainError(
        f"mnist needs t10k-images-idx3-ubyte(.gz) and t10k-labels-idx1-ubyte(.gz), or those of train, got {_VARIABLE}="
        f"{shown(str(folder))} without them; correct the variable, or unset it to download the set"
    )


def _bytes(path: Path) -> bytes | None:
    packed = path.with_name(f"{path.name}.gz")
    try:
        if packed.is_file():
            return gzip.decompress(packed.read_bytes())
        return path.read_bytes() if path.is_file() else None
    except (OSError, EOFError, zlib.error) as e:
        raise DomainError(f"mnist needs files that can be read, got {shown(str(path))}: {e}; download it again") from e


def _array(content: bytes, magic: int, head: int, folder: Path) -> np.ndarray:
    if int.from_bytes(content[:4], "big") != magic:
        raise DomainError(
            f"mnist needs files in the IDX format, got others in {shown(str(folder))}; download them again"
        )
    return np.frombuffer(content, np.uint8, offset=head)


def _downloaded() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import fetch_openml

    try:
        pixels, labels = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False, parser="liac-arff")
    except (OSError, ValueError) as e:
        raise DomainError(
            f"mnist needs a local copy or a network, got {e}; set {_VARIABLE} to a folder with the IDX files"
        ) from e
    return np.asarray(pixels, dtype=float), np.asarray(labels, dtype=float)
