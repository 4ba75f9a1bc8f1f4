"""One network of each family the benchmarks use, small enough to train in a test."""

ARCHITECTURES = {
    "vit": {
        "architecture": "vit_small_patch16_224",
        "options": {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2},
    },
    "convnext": {
        "architecture": "convnext_tiny",
        "options": {"depths": [1, 1, 1, 1], "dims": [8, 12, 16, 24]},
    },
    "resnet": {
        "architecture": "resnet50",
        "options": {"layers": [1, 1, 1, 1], "base_width": 8},
    },
    "efficientnet": {"architecture": "test_efficientnet"},
    "mobilenetv3": {"architecture": "mobilenetv3_small_050"},
    "swin": {
        "architecture": "swin_tiny_patch4_window7_224",
        "options": {
            "img_size": 32,
            "window_size": 4,
            "embed_dim": 12,
            "depths": [1, 1],
            "num_heads": [2, 2],
        },
    },
}
