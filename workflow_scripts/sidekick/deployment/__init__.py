"""The deployable result: a small file, and the predictor that it loads as (numpy alone)."""
