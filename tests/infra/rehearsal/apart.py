"""The stages where production serves in a project of its own: what crosses the border, and what must not."""

from collections.abc import Callable, Iterator

from tests.infra.rehearsal.google import LIVE, LIVE_NUMBER, PERSON, Google
from tests.infra.rehearsal.stages import PRODUCTION, QUICK, REPOSITORY, STAGING, Rehearsal
from tests.infra.rehearsal.world import BUCKET, DELIVERY

THERE = f"--production-project={LIVE}"


class Apart(Rehearsal):
    """What `PRODUCTION_PROJECT=` adds to a rehearsal in one project."""

    @property
    def live(self) -> Google:
        found = self.world.google.live
        assert found is not None
        return found

    def stages(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "deploy, production in a project of its own", self.deploy
        yield "a promotion, by the one bucket", self.promotion
        yield "a release by the tag's build", self.release
        yield "a failed release there", self.failed_release
        yield "what the delivery may not there", self.refusals
        yield "another project than the one that serves", self.elsewhere
        yield "destroy, in both projects", self.destroy

    def deploy(self) -> str:
        self.first.configure()
        self._healthy_images()
        said = self.first.run("delivery.deploy", *QUICK, THERE)
        assert said.code == 0, said.text
        assert {"run", "monitoring", "storage"} <= self.live.on
        assert {"run", "monitoring"} <= self.live.agents, "who pulls the image there, and who asks"
        assert [set(one.services.known) for one in (self.world.google, self.live)] == [{STAGING}, {PRODUCTION}]
        assert not (self.live.functions or self.live.jobs or self.live.images or self.live.builds)
        self.commits.append(self.first.head)
        return "service, agents and alerts there; data, training, images and builds here; said once, and kept"

    def release(self) -> str:
        image = self._image(f"tested-{self.commits[-1]}")
        self.world.serve(image, "healthy")
        self._tag(self.commits[-1], "v1.0.0", expected=0)
        assert self.live.services.shares(PRODUCTION) == {image: 100}
        assert image.startswith(f"{REPOSITORY}/"), "from the one repository, by digest"
        return "the image that staging tested serves there, pulled across the border"

    def failed_release(self) -> str:
        before = self.live.services.shares(PRODUCTION)
        commit = self._tested("d")
        self._image_serves(f"tested-{commit}", "broken")
        assert "moved back to" in self._tag(commit, "v1.1.0", expected=1)
        assert self.live.services.shares(PRODUCTION) == before
        return "never had a caller; production serves what it served"

    def refusals(self) -> str:
        place = ("--region=europe-west1", f"--project={LIVE}")
        for words in (
            ("projects", "get-iam-policy", LIVE),
            ("builds", "list", *place),
            ("functions", "describe", "tabular-train", *place),
        ):
            before = len(self.world.google.refusals)
            said = self.first.program(DELIVERY, "gcloud", *words)
            assert said.code == 1 and len(self.world.google.refusals) > before, (words, said.text)
        of_production = f"tabular-production@{LIVE}.iam.gserviceaccount.com"
        describe = ("run", "services", "describe", PRODUCTION, *place)
        assert self.first.program(of_production, "gcloud", *describe).code == 1
        assert self.first.program(DELIVERY, "gcloud", *describe).code == 0
        assert self.first.program(PERSON, "gcloud", "storage", "ls", f"gs://{BUCKET}").code == 0
        return "403: that project's policy, builds and functions; and its service for the account that it runs as"

    def elsewhere(self) -> str:
        applied, serves = list(self.world.server.terraform.applied), self.live.services.shares(PRODUCTION)
        said = self.world.clone("second").run("delivery.deploy", *QUICK, "--production-project=my-project-other")
        assert said.code == 1 and f"is in project {LIVE}, and PRODUCTION_PROJECT=my-project-other" in said.text
        assert (self.world.server.terraform.applied, self.live.services.shares(PRODUCTION)) == (applied, serves)
        return "refused before anything changes; a fresh clone finds where production is"

    def _tag(self, commit: str, tag: str, expected: int) -> str:
        """The build of a tag, with what the owner's root gave its trigger."""
        place = {"_PRODUCTION_PROJECT": LIVE, "_PRODUCTION_NUMBER": LIVE_NUMBER}
        values = {"COMMIT_SHA": commit, "TAG_NAME": tag, **place}
        (step,) = self.first.steps("infra/delivery/cloudbuild-release.yaml", values)
        said = step.run()
        assert said.code == expected, said.text
        return said.text
