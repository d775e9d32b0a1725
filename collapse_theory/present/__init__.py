"""Present: LaTeX, pictures, reports and the bibliography. Nothing imports from here but the command line."""
