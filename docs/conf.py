"""Settings of Sphinx. ``make docs`` generates the pages of theorems, derivations and the reference first (``docs/generate``)."""

from importlib.metadata import version as installed

project = "collapse-theory"
author = "the collapse-theory authors"
version = release = installed("collapse-theory")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # MathJax from the site itself: pages read the same without a network
    "sphinxcontrib.bibtex",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "generate", "theorems/notebooks"]
bibtex_bibfiles = ["reference/references.bib"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # pages of theorems are run where they are generated, the examples of the others by the tests

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what arguments are
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes as one list

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

smartquotes = False  # delta' and --json are what they are
mathjax3_config = {"chtml": {"matchFontHeight": False}}  # as large as the text, so that long lines fit

html_theme = "furo"
html_title = "collapse-theory"
html_show_copyright = False
html_static_path = ["_static"]
html_extra_path = ["_build/extra"]  # the explorer as one page, which make docs writes
html_css_files = ["site.css"]
