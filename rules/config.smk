import os
import sys
from pathlib import Path

LIBRARY = Path(workflow.basedir) / "workflow_scripts" / "sidekick"
sys.path.insert(0, str(LIBRARY.parent))

from sidekick import config as settings
from sidekick.errors import SidekickError


def check(step, *arguments):
    """Stop with one line, where an exception would bring Snakemake's traceback along."""
    try:
        step(*arguments)
    except SidekickError as error:
        sys.exit(f"Error in the configuration: {error}")


# Snakemake says neither where a file is no YAML nor that it repeats a key.
for path in filter(os.path.exists, workflow.overwrite_configfiles or ["config.yaml"]):
    check(settings.check_file, path)

# A configuration given with --configfile replaces config.yaml; Snakemake would merge the two.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


check(
    settings.validate,
    config,
    Path(workflow.basedir) / "rules/schemas/config.schema.yaml",
)
