"""Networks: timm's and ours by name, the MC-dropout head, and checkpoints.

Nothing is imported here: `sidekick.models.names` serves the parsing of the workflow and must not
pull in torch.
"""
