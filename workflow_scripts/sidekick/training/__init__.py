"""Training: one epoch loop for whole networks, linear probes, students and MC-dropout heads.

Nothing is imported here: `sidekick.training.search` serves the parsing of the workflow and must
not pull in torch.
"""
