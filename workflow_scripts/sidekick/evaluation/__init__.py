"""Evaluation: from cached logits to tidy tables of metrics, curves and fits."""
