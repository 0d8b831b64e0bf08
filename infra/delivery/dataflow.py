"""The image of Dataflow's workers: built where there is none of these sources, and the job's template that names it.

Where every file is answered by the function itself (batch_engine_rows = 0) nothing is done. Elsewhere the function
knows the template's address, and what it starts next runs this checkout's code.
"""

import json
import sys
from collections.abc import Sequence

from infra.delivery import builds, bundles, newest
from infra.delivery.commands import ask, do, find
from shared import terminal

BUNDLE, IMAGE = "flex", "batch-flex"
TEMPLATE = bundles.ROOT / "functions" / "batch" / "flex" / "template.json"


def deliver(project: str, region: str, name: str, repository: str) -> None:
    """Let the next job, where files go to Dataflow, run this checkout's code. Raises Stopped."""
    field = "--format=value(serviceConfig.environmentVariables.DATAFLOW_TEMPLATE)"
    place = (f"--project={project}", f"--region={region}")
    address = find("gcloud", "functions", "describe", f"{name}-batch", "--v2", *place, "--quiet", field)
    if not address:
        print("  every file is answered by the function itself", flush=True)
        return
    tag = f"src-{bundles.build(BUNDLE)[:16]}"
    text = template(builds.require_image(project, region, name, repository, tag, image=IMAGE, bundle=BUNDLE))
    if _stored(address) == text:
        print(f"  {address} names the image of these sources already", flush=True)
        return
    file = bundles.BUILD / "flex-template.json"
    file.write_text(text, encoding="utf-8")
    do("gcloud", "storage", "cp", str(file), address)


def _stored(address: str) -> str | None:
    """The object's text; None where there is none, which only its description tells apart from a failure."""
    if find("gcloud", "storage", "objects", "describe", address, "--format=value(generation)") is None:
        return None
    return ask("gcloud", "storage", "cat", address)


def template(image: str) -> str:
    """The Flex template's file, for the launcher and for the workers the same image."""
    document = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    workers = {**document["defaultEnvironment"], "sdkContainerImage": image}
    return json.dumps({**document, "image": image, "defaultEnvironment": workers}, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    return newest.deliver(
        "dataflow", "Let Dataflow's jobs, where files go to it, run the code of this checkout.", deliver, arguments
    )


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
