"""The stages of a rehearsal, in their order; each fails by an assertion and ends with a sentence of what it showed."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.infra.rehearsal.google import PERSON, PROJECT, REGION
from tests.infra.rehearsal.world import BUCKET, DELIVERY, SETTINGS, Checkout, Said, Step, World

REPOSITORY = f"{REGION}-docker.pkg.dev/{PROJECT}/tabular"
QUICK = ("--minutes=1", "--poll-seconds=0.2", "--retry-seconds=0")
STAGING, PRODUCTION = "tabular-predict-staging", "tabular-predict-production"


@dataclass
class Rehearsal:
    """What one stage leaves for the next."""

    world: World
    first: Checkout
    commits: list[str] = field(default_factory=list)

    def stages(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "doctor, in an empty project", self.doctor
        yield "deploy: the build of the image fails once", self.deploy_stops
        yield "deploy again: from where it stopped", self.deploy
        yield "a push", self.push
        yield "a racing push", self.racing_push
        yield "a promotion", self.promotion
        yield "a release", self.release
        yield "a failed release", self.failed_release
        yield "a release of 10 %, taken back", self.share
        yield "what the delivery may not", self.refusals
        yield "deploy from a fresh clone", self.fresh_clone
        yield "destroy", self.destroy

    def doctor(self) -> str:
        said = self.first.run("delivery.doctor")
        assert "APIs         16 of 16 are off" in said.text, said.text
        return "says that all 16 APIs are off, and the command that turns them on"

    def deploy_stops(self) -> str:
        google = self.world.google
        self.first.configure()
        google.failing_builds = 1
        said = self.first.run("delivery.deploy", *QUICK)
        assert said.code == 1 and "stage 9, the image of the predict service" in said.text, said.text
        assert {"pubsub", "eventarc", "storage"} <= google.agents
        assert any("Build failed" in refusal for refusal in google.refusals), "no grant was late"
        roots = [root for root, _ in self.world.server.terraform.applied]
        assert roots == ["owner", "terraform"], roots
        return "agents made; functions built at the second apply, a late grant refused the first; says how to go on"

    def deploy(self) -> str:
        before = len(self.world.google.builds)
        self._healthy_images()
        said = self.first.run("delivery.deploy", *QUICK)
        assert said.code == 0, said.text
        assert len(self.world.google.builds) == before + 2  # and the image of Dataflow's workers
        template = json.loads(self.world.object(f"{BUCKET}-sources", "flex/batch.json"))
        [digest] = [
            d for name, d in self.world.google.images.items() if name.startswith(f"{REPOSITORY}/batch-flex:src-")
        ]
        assert template["image"] == f"{REPOSITORY}/batch-flex@{digest}"
        assert self.world.google.services.shares(STAGING).keys() == {self._image("src-")}
        subscriptions = list(self.world.google.subscriptions.values())
        assert subscriptions and all(one["deadLetterPolicy"]["maxDeliveryAttempts"] == 100 for one in subscriptions)
        return "data, images, first model, staging serves and is marked tested; dead letters are connected"

    def push(self) -> str:
        commit = self.first.commit("a push")
        self.commits.append(commit)
        self._trigger(commit)
        for step in self._push_steps(commit):
            said = step.run()
            assert said.code == 0, f"{step.id}: {said.text}"
        sent = [build["serviceAccount"].rpartition("/")[2].partition("@")[0] for build in self.world.google.builds[-2:]]
        assert sent == ["tabular-checks", "tabular-build"], sent
        assert self.world.server.terraform.applied[-1] == ("terraform", DELIVERY)
        assert self.world.google.services.shares(STAGING) == {self._image(commit): 100}
        return "checks and image under accounts of their own; applied by the delivery; staging moved"

    def racing_push(self) -> str:
        older = self.first.commit("older, slower")
        self._trigger(older)
        before, applied = self.world.google.services.shares(STAGING), list(self.world.server.terraform.applied)
        for step in self._push_steps(older):
            if step.id == "newest":
                self._trigger("f" * 40)  # somebody else's push, while this one planned
            said = step.run()
            if said.code:
                break
        assert step.id == "newest" and "is not main's newest any more" in said.text, said.text
        assert self.world.server.terraform.applied == applied
        assert self.world.google.services.shares(STAGING) == before
        self.world.google.builds = [build for build in self.world.google.builds if "f" * 40 not in str(build)]
        return "the older build ended before apply and before staging"

    def promotion(self) -> str:
        said = self.first.promote()
        assert said.code == 0 and "accepted" in said.text, said.text
        return "production's pointer names the run that staging serves"

    def release(self) -> str:
        self._image_serves(self.commits[-1], "healthy")
        said = self._release(self.commits[-1], "v1.0.0")
        assert said.code == 0, said.text
        assert self.world.google.services.shares(PRODUCTION) == {self._image(self.commits[-1]): 100}
        assert f"{REPOSITORY}/predict:v1.0.0" in self.world.google.images
        return "the tested image, asked at its own address before it got traffic; tagged v1.0.0"

    def failed_release(self) -> str:
        before = self.world.google.services.shares(PRODUCTION)
        commit = "d" * 40
        self.world.google.images[f"{REPOSITORY}/predict:tested-{commit}"] = "sha256:" + "d" * 64
        self._image_serves(f"tested-{commit}", "broken")
        said = self._release(commit, "v1.1.0")
        assert said.code == 1 and "moved back to" in said.text, said.text
        assert self.world.google.services.shares(PRODUCTION) == before
        assert f"{REPOSITORY}/predict:v1.1.0" not in self.world.google.images
        return "never had a caller; production serves what it served"

    def share(self) -> str:
        before = self.world.google.services.shares(PRODUCTION)
        commit = self._tested("e")
        assert self._release(commit, "", "--percent=10").code == 0
        shares = self.world.google.services.shares(PRODUCTION)
        assert sorted(shares.values()) == [10, 90], shares
        back = self._release(commit, "", "--back")
        assert back.code == 0, back.text
        assert self.world.google.services.shares(PRODUCTION) == before
        return "10 % stayed at 10 %; BACK=1 gave everything back"

    def refusals(self) -> str:
        owner = str(self.first.folder / "infra" / "terraform" / "owner")
        said = self.first.program(DELIVERY, "terraform", f"-chdir={owner}", "plan")
        assert said.code == 1 and "PERMISSION_DENIED" in said.text, said.text
        state = f"gs://{PROJECT}-tabular-tfstate/owner.tfvars"
        words = ("gcloud", "storage", "cat", state)
        assert self.first.program(DELIVERY, *words).code == 1
        assert self.first.program(PERSON, *words).code == 0
        policy = ("gcloud", "projects", "get-iam-policy", PROJECT)
        assert self.first.program(DELIVERY, *policy).code == 1
        checks = f"tabular-checks@{PROJECT}.iam.gserviceaccount.com"
        assert self.first.program(checks, "gcloud", "storage", "ls", f"gs://{BUCKET}").code == 1
        return "403: the owner's root, its settings, the project's policy; and the data, for the account of the checks"

    def fresh_clone(self) -> str:
        other = self.world.clone("second")
        assert other.settings() == {}
        said = other.run("delivery.deploy", *QUICK)
        assert said.code == 0, said.text
        assert {name: text.strip() for name, text in other.settings().items()} == {
            name: text.strip() for name, text in SETTINGS.items()
        }
        changed = other.folder / "infra" / "terraform" / "terraform.tfvars"
        changed.write_text("public = false\n")
        said = other.run("delivery.plan")
        assert said.code == 1 and "differs from the one that the deployment was made with" in said.text, said.text
        changed.unlink()
        return "both files of settings fetched; one that differs is shown, and nothing is changed"

    def destroy(self) -> str:
        said = self.first.run("delivery.destroy", typed=f"{PROJECT}\n")
        assert said.code == 0, said.text
        assert self.world.server.terraform.states == {"owner": set(), "terraform": {"google_storage_bucket.pipeline"}}
        assert "the data stays in" in said.text
        return "both roots gone, the data stays and is named"

    # ---- parts of stages ----

    def _trigger(self, commit: str) -> None:
        """The build that a push starts, as the trigger's list shows it."""
        minute = len(self.world.google.builds)
        self.world.google.builds.append(
            {
                "id": f"push-{commit[:7]}",
                "createTime": f"2026-01-05T07:{minute:02}:00Z",
                "status": "WORKING",
                "substitutions": {"COMMIT_SHA": commit, "TRIGGER_NAME": "tabular-main"},
            }
        )

    def _push_steps(self, commit: str) -> Iterator[Step]:
        values = {"COMMIT_SHA": commit, "TRIGGER_NAME": "tabular-main"}
        for step in self.first.steps("cloudbuild.yaml", values):
            if step.id == "staging":
                self._image_serves(commit, "healthy")
            yield step

    def _release(self, commit: str, tag: str, *more: str) -> Said:
        if tag:
            values = {"COMMIT_SHA": commit, "TAG_NAME": tag}
            (step,) = self.first.steps("infra/delivery/cloudbuild-release.yaml", values)
            return step.run()
        where = (f"--repository={REPOSITORY}", f"--commit={commit}")
        return self.first.run("delivery.release", *where, *more)

    def _tested(self, letter: str) -> str:
        commit = letter * 40
        self.world.google.images[f"{REPOSITORY}/predict:tested-{commit}"] = "sha256:" + letter * 64
        self._image_serves(f"tested-{commit}", "healthy")
        return commit

    def _image_serves(self, tag: str, kind: str) -> None:
        self.world.serve(self._image(tag), kind)

    def _image(self, start: str) -> str:
        """The image, by digest, of the tag that begins so."""
        for reference, digest in self.world.google.images.items():
            if re.match(re.escape(f"{REPOSITORY}/predict:{start}"), reference):
                return f"{REPOSITORY}/predict@{digest}"
        raise AssertionError(f"there is no image {start}")

    def _healthy_images(self) -> None:
        """The next image that is built answers as it should."""
        number = len(self.world.google.images) + 1
        self.world.serve(f"{REPOSITORY}/predict@sha256:{number:064x}", "healthy")
