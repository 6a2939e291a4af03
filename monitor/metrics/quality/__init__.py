"""Quality: what is missing, new, out of range or late in the data themselves."""
