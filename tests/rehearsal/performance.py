"""The second half: start the stack, make one check after the other, stop the stack.

Runs in a network and a process table of its own.
"""

import subprocess
import sys
from pathlib import Path

from tests.rehearsal.checks import CHECKS, Subject
from tests.rehearsal.preparation import LEFT_OUT, composition_of, images_of, variables_of
from tests.rehearsal.stack import Stack


def perform(work: Path, user: str) -> None:
    """Bring up what `prepare` has put into `work`, and check it.

    Raises:
        ChildDied: a service did not start, or ended.
        CheckFailed: something is not as promised.
    """
    # `ip netns` keeps its names there: ours must not be seen outside, nor outlive us.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    project, composition = work / "project", composition_of(work)
    with Stack(
        composition,
        images_of(work),
        project=project,
        work=work / "stack",
        variables=variables_of(work),
    ) as stack:
        for service in composition.order():
            if service not in LEFT_OUT:
                sys.stderr.write(f"starting {service} ...\n")
                stack.up(service)
        stack.wait_until_healthy()
        subject = Subject(
            stack=stack,
            user=user,
            keys=variables_of(work),
            dashboard=project / "deploy" / "grafana" / "dashboards" / "magnet.json",
        )
        for each in CHECKS:
            sys.stderr.write(f"{each.__name__.replace('_', ' ')} ...\n")
            each(subject)
    sys.stderr.write("all is well\n")
