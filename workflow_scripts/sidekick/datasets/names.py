"""The words of this room that a config may use, free of any heavy import."""

#: The splits of every dataset. `shift` is corrupted test data.
SPLITS = ("train", "val", "test", "shift")

#: The splits that `sizes` of a config gives, and `make_splits` draws.
DRAWN_SPLITS = ("train", "val", "test")

#: The keys of `sidekick.datasets.corruptions.CORRUPTIONS`, in the order of the CIFAR-C paper.
corruption_names = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg_compression",
)

#: From hardly visible (1) to severe (5).
SEVERITIES = (1, 2, 3, 4, 5)

#: The files of a prepared dataset, in its folder.
SAMPLES_FILE = "samples.parquet"
SHIFT_FILE = "shift.parquet"
SPLITS_FILE = "splits/seed{seed}.parquet"
CARD_FILE = "dataset.json"
