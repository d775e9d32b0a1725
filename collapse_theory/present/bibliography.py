"""The sources, citable with BibTeX."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from collapse_theory.core.errors import DomainError, nearest, shown

__all__ = ["BIBLIOGRAPHY", "Reference", "bibtex"]


@dataclass(frozen=True)
class Reference:
    """A publication."""

    key: str
    authors: str
    title: str
    year: int
    arxiv: str = ""
    journal: str = ""

    def bibtex(self) -> str:
        """Return its BibTeX entry."""
        fields = {"author": self.authors, "title": f"{{{self.title}}}", "year": str(self.year)}
        if self.journal:
            fields["journal"] = self.journal
        if self.arxiv:
            fields |= {"eprint": self.arxiv, "archivePrefix": "arXiv"}
        body = ",\n".join(f"  {k} = {{{v}}}" for k, v in fields.items())
        return f"@{'article' if self.journal else 'misc'}{{{self.key},\n{body}\n}}"


_ALL = (
    Reference("dohmatob2024regression", "Dohmatob, Elvis and Feng, Yunzhen and Kempe, Julia",
           "Model Collapse Demystified: The Case of Regression", 2024, "2402.07712"),
    Reference("gerstgrasser2024inevitable",
           "Gerstgrasser, Matthias and Schaeffer, Rylan and Dey, Apratim and Rafailov, Rafael and Sleight, Henry and Hughes, John "
           "and Korbak, Tomasz and Agrawal, Rajashree and Pai, Dhruv and Gromov, Andrey and Roberts, Daniel A. and Yang, Diyi and "
           "Donoho, David L. and Koyejo, Sanmi",
           "Is Model Collapse Inevitable? Breaking the Curse of Recursion by Accumulating Real and Synthetic Data", 2024,
           "2404.01413"),
    Reference("seddik2024synthetic",
           "Seddik, Mohamed El Amine and Chen, Suei-Wen and Hayou, Soufiane and Youssef, Pierre and Debbah, Merouane",
           "How Bad is Training on Synthetic Data? A Statistical Analysis of Language Model Collapse", 2024, "2404.05090"),
    Reference("dohmatob2024strong", "Dohmatob, Elvis and Feng, Yunzhen and Subramonian, Arjun and Kempe, Julia",
           "Strong Model Collapse", 2024, "2410.04840"),
    Reference("dohmatob2024tails", "Dohmatob, Elvis and Feng, Yunzhen and Yang, Pu and Charton, Francois and Kempe, Julia",
           "A Tale of Tails: Model Collapse as a Change of Scaling Laws", 2024, "2402.07043"),
    Reference("dey2024universality", "Dey, Apratim and Donoho, David",
           r"Universality of the $\pi^2/6$ Pathway in Avoiding Model Collapse", 2024, "2410.22812"),
    Reference("kazdan2024collapse",
           "Kazdan, Joshua and Schaeffer, Rylan and Dey, Apratim and Gerstgrasser, Matthias and Rafailov, Rafael and "
           "Donoho, David L. and Koyejo, Sanmi",
           "Collapse or Thrive? Perils and Promises of Synthetic Data in a Self-Generating World", 2024, "2410.16713"),
    Reference("he2025golden", "He, Hengzhi and Xu, Shirong and Cheng, Guang",
           "Golden Ratio Weighting Prevents Model Collapse", 2025, "2502.18049"),
    Reference("garg2025overparametrization", "Garg, Anvit and Bhattacharya, Sohom and Sur, Pragya",
           "Preventing Model Collapse Under Overparametrization: Optimal Mixing Ratios for Interpolation Learning and Ridge "
           "Regression", 2025, "2509.22341"),
    Reference("suresh2024rate", "Suresh, Ananda Theertha and Thangaraj, Andrew and Khandavally, Aditya Nanda Kishore",
           "Rate of Model Collapse in Recursive Training", 2024, "2412.17646"),
    Reference("subramonian2025autofpt", "Subramonian, Arjun and Dohmatob, Elvis",
           "auto-fpt: Automating Free Probability Theory Calculations for Machine Learning Theory", 2025, "2504.10754"),
    Reference("shumailov2023curse",
           "Shumailov, Ilia and Shumaylov, Zakhar and Zhao, Yiren and Gal, Yarin and Papernot, Nicolas and Anderson, Ross",
           "The Curse of Recursion: Training on Generated Data Makes Models Forget", 2023, "2305.17493"),
    Reference("adlam2020triple", "Adlam, Ben and Pennington, Jeffrey",
           "The Neural Tangent Kernel in High Dimensions: Triple Descent and a Multi-Scale Theory of Generalization", 2020,
           "2008.06786"),
    Reference("burns2023weak",
           "Burns, Collin and Izmailov, Pavel and Kirchner, Jan Hendrik and Baker, Bowen and Gao, Leo and others",
           "Weak-to-Strong Generalization: Eliciting Strong Capabilities With Weak Supervision", 2023, "2312.09390"),
    Reference("ildiz2024distillation", "Ildiz, M. Emrullah and Gozeten, Halil Alperen and Taga, Ege Onur and Mondelli, Marco "
           "and Oymak, Samet", "High-dimensional Analysis of Knowledge Distillation: Weak-to-Strong Generalization and Scaling "
           "Laws", 2024, "2410.18837"),
    Reference("cui2021generalization", "Cui, Hugo and Loureiro, Bruno and Krzakala, Florent and Zdeborova, Lenka",
           "Generalization Error Rates in Kernel Regression: The Crossover from the Noiseless to Noisy Regime", 2021, "2105.15004"),
    Reference("caponnetto2007optimal", "Caponnetto, Andrea and De Vito, Ernesto",
           "Optimal Rates for the Regularized Least-Squares Algorithm", 2007,
           journal="Foundations of Computational Mathematics"),
    Reference("hoffmann2022training",
           "Hoffmann, Jordan and Borgeaud, Sebastian and Mensch, Arthur and Buchatskaya, Elena and Cai, Trevor and Rutherford, "
           "Eliza and others", "Training Compute-Optimal Large Language Models", 2022, "2203.15556"),
    Reference("besiroglu2024chinchilla", "Besiroglu, Tamay and Erdil, Ege and Barnett, Matthew and You, Josh",
           "Chinchilla Scaling: A Replication Attempt", 2024, "2404.10102"),
    Reference("hastie2022surprises", "Hastie, Trevor and Montanari, Andrea and Rosset, Saharon and Tibshirani, Ryan J.",
           "Surprises in High-Dimensional Ridgeless Least Squares Interpolation", 2022, "1903.08560",
           "The Annals of Statistics"),
    Reference("ali2019early", "Ali, Alnur and Kolter, J. Zico and Tibshirani, Ryan J.",
           "A Continuous-Time View of Early Stopping for Least Squares Regression", 2019, "1810.10082"),
    Reference("bai2004clt", "Bai, Zhidong and Silverstein, Jack W.",
           "CLT for Linear Spectral Statistics of Large-Dimensional Sample Covariance Matrices", 2004,
           journal="The Annals of Probability"),
    Reference("mobahi2020selfdistillation", "Mobahi, Hossein and Farajtabar, Mehrdad and Bartlett, Peter L.",
           "Self-Distillation Amplifies Regularization in Hilbert Space", 2020, "2002.05715"),
    Reference("pareek2024selfdistillation", "Pareek, Divyansh and Du, Simon S. and Oh, Sewoong",
           "Understanding the Gains from Repeated Self-Distillation", 2024, "2407.04600"),
    Reference("breiman1996bagging", "Breiman, Leo", "Bagging Predictors", 1996, journal="Machine Learning"),
    Reference("golub1979gcv", "Golub, Gene H. and Heath, Michael and Wahba, Grace",
           "Generalized Cross-Validation as a Method for Choosing a Good Ridge Parameter", 1979, journal="Technometrics"),
    Reference("goldt2022gaussian",
           "Goldt, Sebastian and Loureiro, Bruno and Reeves, Galen and Krzakala, Florent and Mezard, Marc and Zdeborova, Lenka",
           "The Gaussian Equivalence of Generative Models for Learning with Shallow Neural Networks", 2022, "2006.14709"),
    Reference("hu2022universality", "Hu, Hong and Lu, Yue M.",
           "Universality Laws for High-Dimensional Learning with Random Features", 2022, "2009.07669"),
)  # fmt: skip

BIBLIOGRAPHY = {source.key: source for source in _ALL}
"""Every source by BibTeX key."""


def bibtex(keys: Iterable[str]) -> str:
    """Return the BibTeX entries of the given keys.

    Raises:
        DomainError: If a key is unknown.

    >>> bibtex(["he2025golden"]).splitlines()[0]
    '@misc{he2025golden,'
    """
    for key in (keys := tuple(keys)):
        if key not in BIBLIOGRAPHY:
            raise DomainError(f"bibliography has no key {shown(key)}{nearest(key, BIBLIOGRAPHY)}")
    return "\n\n".join(BIBLIOGRAPHY[key].bibtex() for key in keys)
