import os
import sys
from pathlib import Path

LIBRARY = Path(workflow.basedir) / "workflow_scripts" / "sidekick"
sys.path.insert(0, str(LIBRARY.parent))

from snakemake.settings.types import DeploymentMethod

from sidekick import config as settings
from sidekick.errors import SidekickError
from sidekick.site_modules import read_modules


def check(step, *arguments):
    """Stop with one line, where an exception would bring Snakemake's traceback along."""
    try:
        return step(*arguments)
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

# What `--sdm env-modules` loads, by stage.
MODULES_FILE = Path(workflow.basedir) / "envs/modules.yaml"
STAGES = sorted(path.stem for path in MODULES_FILE.parent.glob("*.yaml"))
STAGES.remove(MODULES_FILE.stem)
MODULES = check(read_modules, MODULES_FILE, STAGES)

# Made from Containerfile, in the working folder. Without the option Snakemake would say in every
# run that it ignores the image, and refuse folders with a space in their path.
if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
    IMAGE = Path("sidekick.sif")
    if not (IMAGE.exists() or workflow.output_settings.dryrun):
        sys.exit(
            f"Error: {IMAGE.resolve()}: no such image; docs/environments.md says how to make it"
        )

    container: str(IMAGE)
