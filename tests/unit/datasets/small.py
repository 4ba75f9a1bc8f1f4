"""What the small preparation of the tests asks for."""

SIZES = {"train": 60, "val": 80, "test": 100}
SHIFT = {"samples": 20, "corruptions": ["pixelate", "gaussian_noise"], "severities": [5, 1]}
SEEDS = [0, 1]
