"""Studies: theory and simulations of one problem over a range of parameters."""
