"""The explorer: a page in the browser on which a pipeline is moved by sliders, and its server."""
