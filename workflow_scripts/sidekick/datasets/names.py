"""The words of this room that a config may use, free of any heavy import."""

#: The splits of every dataset. `shift` is corrupted test data.
SPLITS = ("train", "val", "test", "shift")

#: The splits that `sizes` of a config gives, and `make_splits` draws.
DRAWN_SPLITS = ("train", "val", "test")

#: The keys of `sidekick.datasets.corruptions.CORRUPTIONS`, in the order of the CIFAR-C generator:
#: the fifteen of the paper, then four more.
corruption_names = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
)

#: The overlays of "frost", in the folder ImageNet-C/create_c of github.com/hendrycks/robustness.
#: The generators name a sixth, frost6.jpg, but never draw it.
FROST_FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")

#: From hardly visible (1) to severe (5).
SEVERITIES = (1, 2, 3, 4, 5)

#: The files of a prepared dataset, in its folder.
SAMPLES_FILE = "samples.parquet"
SHIFT_FILE = "shift.parquet"
SPLITS_FILE = "splits/seed{seed}.parquet"
CARD_FILE = "dataset.json"
