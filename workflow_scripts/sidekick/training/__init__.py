"""Training: one epoch loop, used to fine-tune networks and to train MC-dropout heads."""
