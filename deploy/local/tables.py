"""Tables as they were given: made a data folder by `import` before anything else."""

from collections.abc import Callable
from pathlib import Path

from deploy import module_command, module_environment
from deploy.local.pipeline import check
from deploy.local.processes import Child
from deploy.local.workspace import Workspace


def data_folder(given: Path, workspace: Workspace, say: Callable[[str], None]) -> Path:
    """The folder itself if it is a data folder; else what `import` makes of the tables in it.

    An import of the same tables is used again.

    Raises:
        StepFailed: the import failed; it has said why.
    """
    if any(given.glob("*.inter")):
        return given
    folder = workspace.imported(given)
    if folder.is_current(given):
        say(f"using the import of {given} in {folder.data}: its files are what it was made from")
        return folder.data
    say(f"importing {given}, which has no .inter file: its tables become {folder.data}")
    options = [str(given), "--out", str(folder.data), "--force", "--step"]
    command = module_command("deploy.cli", "import", *options)
    with Child("the import", command, env=module_environment()) as step:
        check(step, step.wait())
    folder.finish(given)
    return folder.data
