"""One module per broker; they do not know each other."""
