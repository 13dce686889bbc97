"""Is a hand-written layer, loss or optimizer right? People's own code beside its PyTorch twin."""
