"""One stage each in one process, for before-and-after comparisons; see ../README.md."""
