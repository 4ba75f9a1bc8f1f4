"""Methods: pure functions from cached logits to predictions (numpy only)."""
