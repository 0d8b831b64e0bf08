"""`make deploy`: from an empty project to a tested staging service, stage by stage; run again, it goes on.

Every stage looks first whether it is done already. One that fails says what is done, what is not and how to go on.
"""

import argparse
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.delivery import (
    builds,
    bundles,
    dataflow,
    dead_letters,
    first_model,
    options,
    production,
    training,
    variables,
)
from infra.delivery.cloud_run import CloudRunService, tag_image, tested_tag
from infra.delivery.commands import do
from infra.delivery.errors import Stopped, exit_code
from infra.delivery.preflight import require_build_region, require_project, require_tools
from infra.delivery.rollout import roll_out
from infra.delivery.terraform import DELIVERYS, OWNERS, ROOT, ROOTS, Deployment, Root, commit
from infra.delivery.training_call import TrainingCall
from shared import layout, terminal
from shared.beside import files_beside

SAMPLE = ROOT / "shared" / "datasets" / "students" / "dataset.toml"
POLL_SECONDS = 10.0
RETRY_SECONDS = 120.0


@dataclass
class Deploy:
    """One run; `digests`, `outputs` and `image` are known once their stages are done."""

    target: Deployment
    dataset: Path
    minutes: float | None
    poll_seconds: float
    retry_seconds: float
    digests: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    image: str = ""
    stored: dict[Root, variables.Stored] = field(default_factory=dict)

    def stages(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("the bucket of Terraform's state", self.target.make_state_bucket),
            ("the deployment's settings", self._settings),
            ("the agents of Google's services", self.target.make_agents),
            ("the bundles of the functions", self._bundles),
            ("what only an owner may change", lambda: self._root(OWNERS)),
            ("the infrastructure", self._infrastructure),
            ("undeliverable events", self._dead_letters),
            ("the dataset", self._dataset),
            ("the image of the predict service", self._image),
            ("the image of the training job", self._training),
            ("the image of Dataflow's workers", self._dataflow),
            ("the first model", self._first_model),
            ("staging serves the image", self._staging),
        ]

    def run(self) -> None:
        """Raises Stopped, saying how far it came."""
        stages = self.stages()
        for number, (title, action) in enumerate(stages):
            print(f"[{number + 1}/{len(stages)}] {title}", flush=True)
            try:
                action()
            except (Stopped, KeyboardInterrupt) as failure:
                raise Stopped(self._progress(number, failure)) from failure

    def _progress(self, failed: int, failure: BaseException) -> str:
        titles = [title for title, _ in self.stages()]
        return "\n  ".join(
            [
                f"stage {failed + 1}, {titles[failed]}: {failure or 'interrupted'}",
                f"done:     {'; '.join(titles[:failed]) or 'nothing'}",
                f"not done: {'; '.join(titles[failed:])}",
                f"go on:    make deploy {self.target.again}   (what is done is not done again)",
                f"or undo:  make destroy {self.target.again}",
            ]
        )

    def _settings(self) -> None:
        production.keep(self.target)
        for root in ROOTS:
            self.stored[root] = variables.settle(self.target.state_bucket, root, variables.typed)

    def _bundles(self) -> None:
        for fn in bundles.FUNCTIONS:
            self.digests[fn] = bundles.build(fn)
            print(f"  build/{fn}.zip {self.digests[fn][:12]}")

    def _root(self, root: Root) -> None:
        self.target.init(root)
        self._apply(root)
        variables.keep(self.target.state_bucket, root, self.stored[root])

    def _infrastructure(self) -> None:
        self._root(DELIVERYS)
        self.outputs = self.target.outputs()

    def _apply(self, root: Root) -> None:
        """A second time where the first one failed: in a new project a grant may reach the builds of the functions
        only minutes after Terraform waited for it (https://github.com/hashicorp/terraform-provider-google/issues/20571);
        what was made stays made."""
        try:
            self.target.apply(root)
        except Stopped as first:
            print(f"  {first}; once more in {self.retry_seconds:g} s, since grants may not have spread", flush=True)
            time.sleep(self.retry_seconds)
            self.target.apply(root)

    def _dead_letters(self) -> None:
        for subscription in dead_letters.connect(self.target.project, self.target.region, self.target.name):
            print(f"  {subscription}")

    def _dataset(self) -> None:
        bucket = self.outputs["bucket"]
        if first_model.has(bucket, layout.SPEC):
            print(
                f"  gs://{bucket}/{layout.SPEC} is there and stays; to replace it: gcloud storage cp FILES gs://{bucket}/data/"
            )
            return
        for name in sources_of(self.dataset):
            self._upload(self.dataset.parent / name, layout.seeded(name))
        self._upload(self.dataset, layout.SPEC)

    def _upload(self, file: Path, key: str) -> None:
        """Create-only: whatever came to be there since the look stays."""
        do("gcloud", "storage", "cp", "--if-generation-match=0", str(file), f"gs://{self.outputs['bucket']}/{key}")

    def _image(self) -> None:
        tag = f"src-{self.digests['predict'][:16]}"
        target, repository = self.target, self.outputs["repository"]
        self.image = builds.require_image(target.project, target.region, target.name, repository, tag)
        print(f"  {self.image}")

    def _training(self) -> None:
        target = self.target
        training.deliver(target.project, target.region, target.name, self.outputs["repository"])

    def _dataflow(self) -> None:
        target = self.target
        dataflow.deliver(target.project, target.region, target.name, self.outputs["repository"])

    def _first_model(self) -> None:
        bucket = self.outputs["bucket"]
        if first_model.has(bucket, first_model.POINTER):
            print(f"  {first_model.POINTER} is there")
            return
        call = TrainingCall.of(self.outputs, self.target.project, self.target.region)
        wait = first_model.Wait.beginning(bucket, call, self.poll_seconds)
        do("gcloud", "scheduler", "jobs", "run", self.outputs["job"])
        minutes = call.minutes if self.minutes is None else self.minutes
        print(f"  training, then validation: about ten minutes for the sample; {minutes:g} at the most", flush=True)
        wait.model(minutes)

    def _staging(self) -> None:
        service = CloudRunService(self.target.project, self.target.region, self.outputs["services"]["staging"])
        roll_out(service, self.image)
        head = commit()
        if head is not None:
            tag_image(self.image, tested_tag(head))


def sources_of(spec: Path) -> list[str]:
    """The files beside it that a spec names, none of what is in a bucket already. Raises Stopped."""
    try:
        sources = tomllib.loads(spec.read_text(encoding="utf-8"))["source"]
        names = files_beside(spec, sources if isinstance(sources, list) else str(sources))
    except OSError as error:
        raise Stopped(f"cannot read the dataset's spec {spec}: {error.strerror}") from None
    except (ValueError, KeyError):
        raise Stopped(f"{spec} is not a dataset's spec with a source: see make check-data DATASET={spec}") from None
    for name in names:
        if not (spec.parent / name).is_file():
            raise Stopped(f"{spec} names the table {name}, but there is no {spec.parent / name}")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options.parser("deploy", "Deploy everything, or go on with a deployment that stopped.")
    options.add_production(parser)
    parser.add_argument(
        "--dataset", type=Path, default=SAMPLE, help="spec to upload where the bucket has none (sample)"
    )
    parser.add_argument("--minutes", type=float, help="to wait for the first model (as long as training may take)")
    parser.add_argument("--poll-seconds", type=float, default=POLL_SECONDS, help="between two looks for it (10)")
    parser.add_argument("--retry-seconds", type=float, default=RETRY_SECONDS, help="before a second apply (120)")
    given = parser.parse_args(arguments)
    return exit_code("deploy", lambda: _deploy(given))


def _deploy(given: argparse.Namespace) -> int:
    sources_of(given.dataset)
    account = require_tools(given.project)
    target = production.located(given.project, given.region, given.name, given.production_project)
    if target.is_apart:
        require_project(target.production)
    require_build_region(given.project, given.region)
    there = f", production to {target.production}" if target.is_apart else ""
    print(f"{account} deploys {given.name} to {given.project} in {given.region}{there}", flush=True)
    deploy = Deploy(target, given.dataset, given.minutes, given.poll_seconds, given.retry_seconds)
    deploy.run()
    out = deploy.outputs
    if not out.get("told"):
        print("alerts reach nobody: set notification_email in infra/terraform/terraform.tfvars, then deploy again")
    print(
        f"done. Staging serves: {out['staging_url']}\n"
        f"next: BUCKET={out['bucket']} make promote      production gets the model\n"
        f"      make release {target.again}      production gets the image (needs a clean checkout)"
    )
    return 0


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
