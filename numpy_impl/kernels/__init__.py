"""Speed alone: each kernel says the plain NumPy expression that it equals."""
