"""Training of decoder-only language models; imports nothing, as the parent does."""
