import subprocess
import sys
from pathlib import Path

import sidekick

HEAVY = ("torch", "sklearn", "pandas", "polars", "numba", "matplotlib", "scipy.stats")


def test_import_leaves_heavy_packages_out():
    code = f"import sys, sidekick.metrics; print([m for m in {HEAVY!r} if m in sys.modules])"
    root = Path(sidekick.__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"
