"""The stand-in for Google: what exists, who is asked for what, and the refusals that a fresh project has in store.

The real gcloud speaks to it. Each request is one that the API's own description knows, of somebody who may make it, to
a service that is on; otherwise it is refused in Google's words.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.infra.accounts import Grant
from tests.infra.rehearsal.descriptions import Method, method_of, problems
from tests.infra.rehearsal.refusals import Refused, missing
from tests.infra.rehearsal.services import Services

Json = dict[str, Any]
PROJECT, NUMBER, REGION = "my-project", "123456789012", "europe-west1"
LIVE, LIVE_NUMBER = "my-project-live", "210987654321"
"""Production's project, where it has one of its own."""
PERSON = "person@example.com"
"""An owner of the project; everybody else may do what the owner's root granted them."""
ALWAYS_ON = {"cloudresourcemanager", "serviceusage", "storage", "cloudbilling"}
"""What a person may ask of a project in which nothing is on yet: their own quota counts."""


@dataclass
class Google:
    """All of one project. `held`: what each grant allows, once the owner's root is applied; `home`: the thing that a
    grant on this project names; `live`: production's project, where it is another one."""

    project: str = PROJECT
    number: str = NUMBER
    home: str = "project"
    live: "Google | None" = None
    held: Mapping[Grant, set[str]] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    on: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)
    granted_at: dict[str, int] = field(default_factory=dict)
    clock: int = 0
    images: dict[str, str] = field(default_factory=dict)
    builds: list[Json] = field(default_factory=list)
    failing_builds: int = 0
    triggers: dict[str, Json] = field(default_factory=dict)
    functions: dict[str, Json] = field(default_factory=dict)
    subscriptions: dict[str, Json] = field(default_factory=dict)
    policies: dict[str, Json] = field(default_factory=dict)
    services: Services = field(default_factory=Services)
    on_job: Callable[[], None] = lambda: None
    jobs: set[str] = field(default_factory=set)
    job_calls: int = 0
    run_jobs: dict[str, Json] = field(default_factory=dict)
    """Of Cloud Run; none, since training is a function here."""
    refusals: list[str] = field(default_factory=list)

    def require(self, account: str, permission: str, thing: str = "project") -> None:
        """Raises Refused where the account does not hold the permission on the thing, or on this project."""
        if account == PERSON:
            return
        thing = self.home if thing == "project" else thing
        who = account.partition("@")[0].replace("tabular", "NAME")
        for (name, _, where), permissions in self.held.items():
            if name == who and where in (thing, self.home) and permission in permissions:
                return
        raise Refused(403, "PERMISSION_DENIED", f"Permission '{permission}' denied on {thing} for {account}.")

    def answer(self, account: str, label: str, verb: str, path: str, query: Mapping[str, str], body: Any) -> Json:
        """The answer of an API other than Cloud Storage's. Raises Refused."""
        if self.live is not None and re.search(rf"/(?:projects|namespaces)/(?:{LIVE}|{LIVE_NUMBER})(?:[/:]|$)", path):
            return self.live.answer(account, label, verb, path, query, body)
        if label == "cloudquotas":  # its description is not among those of google-api-python-client
            return {"quotaInfos": []}
        method = method_of(label, verb, path)
        if method is None:
            raise Refused(404, "NOT_FOUND", f"{label} has no method {verb} {path}")
        if label not in self.on | ALWAYS_ON:
            raise Refused(403, "PERMISSION_DENIED", f"{label} API has not been used in project {self.project} before.")
        wrong = list(problems(method, query, body))
        if wrong:
            raise Refused(400, "INVALID_ARGUMENT", "; ".join(wrong))
        permission, action = ANSWERS.get(method.id, (None, None))
        if permission is None or action is None:
            raise Refused(501, "UNIMPLEMENTED", f"the rehearsal does not know {method.id}")
        if permission:
            self.require(account, permission)
        return action(self, Request(method, account, path, query, body))


@dataclass(frozen=True)
class Request:
    """One request whose method is known. `name`: what its path names, such as projects/p/subscriptions/s."""

    method: Method
    account: str
    path: str
    query: Mapping[str, str]
    body: Any

    @property
    def name(self) -> str:
        return re.sub(r"^/?(apis/serving\.knative\.dev/)?v\d+(beta\d)?/", "", self.path).partition(":")[0]


def _done(**response: Any) -> Json:
    return {"name": "operations/done.operation", "done": True, "response": response}


def _enable(google: Google, request: Request) -> Json:
    body = request.body or {}
    named = body.get("serviceIds") or [request.name.rpartition("/")[2]]
    google.on |= {service.partition(".")[0] for service in named}
    return _done()


def _services(google: Google, request: Request) -> Json:
    return {"services": [{"config": {"name": f"{api}.googleapis.com"}} for api in sorted(google.on)]}


def _identity(google: Google, request: Request) -> Json:
    service = request.name.rpartition("/")[2].partition(".")[0]
    if service not in google.on:
        raise Refused(400, "FAILED_PRECONDITION", f"{service} is not enabled")
    google.agents.add(service)
    return _done(email=f"service-{google.number}@gcp-sa-{service}.iam.gserviceaccount.com", uniqueId="1")


def _create_build(google: Google, request: Request) -> Json:
    build = dict(request.body)
    account = str(build.get("serviceAccount", "")).rpartition("/")[2]
    google.require(request.account, "iam.serviceAccounts.actAs", account.partition("@")[0].replace("tabular", "NAME"))
    fails = google.failing_builds > 0
    google.failing_builds -= fails
    build |= {"id": f"build-{len(google.builds)}", "status": "FAILURE" if fails else "SUCCESS", "logUrl": "https://log"}
    build |= {"createTime": f"2026-01-05T07:{len(google.builds):02}:00Z", "projectId": PROJECT}
    google.builds.append(build)
    image = build.get("substitutions", {}).get("_IMAGE")
    if image and not fails:
        google.require(account, "artifactregistry.repositories.uploadArtifacts", "repository")
        google.images.setdefault(image, f"sha256:{len(google.images) + 1:064x}")
    return {"name": f"operations/build/{build['id']}", "done": False, "metadata": {"build": _shown(build)}}


def _shown(build: Json) -> Json:
    return {name: value for name, value in build.items() if name != "steps"}


def _get_build(google: Google, request: Request) -> Json:
    name = request.name.rpartition("/")[2]
    return next(_shown(build) for build in google.builds if build.get("id") == name)


def _list_builds(google: Google, request: Request) -> Json:
    wanted = re.findall(r'substitutions\.TRIGGER_NAME *= *"?([\w-]+)', request.query.get("filter", ""))
    found = [b for b in google.builds if not wanted or b.get("substitutions", {}).get("TRIGGER_NAME") in wanted]
    return {"builds": [_shown(build) for build in reversed(found)]}


def _of(kind: str) -> Callable[[Google, Request], Json]:
    """Get one thing of a kind by its last name."""

    def get(google: Google, request: Request) -> Json:
        things: dict[str, Json] = getattr(google, kind)
        name = request.name.rpartition("/")[2]
        if name not in things:
            raise missing(request.name)
        return things[name]

    return get


def _update_subscription(google: Google, request: Request) -> Json:
    found = _of("subscriptions")(google, request)
    topic = request.body["subscription"]["deadLetterPolicy"]["deadLetterTopic"]
    if not topic.startswith(f"projects/{PROJECT}/topics/"):
        raise Refused(400, "INVALID_ARGUMENT", f"{topic} is no topic")
    found.update({k: v for k, v in request.body["subscription"].items() if k in request.body["updateMask"]})
    return found


def _set_policy(google: Google, request: Request) -> Json:
    for binding in request.body["policy"].get("bindings", []):
        for member in binding["members"]:
            agent = re.search(r"gcp-sa-(\w+)", member)
            if agent and agent[1] not in google.agents:
                raise Refused(400, "INVALID_ARGUMENT", f"Service account {member} does not exist.")
    google.policies[request.name] = request.body["policy"]
    return google.policies[request.name]


def _scheduled(google: Google, request: Request) -> Json:
    """Each call made so far began a minute after the one before."""
    if request.name.rpartition("/")[2] not in google.jobs:
        raise missing(request.name)
    began = {"lastAttemptTime": f"2026-01-05T08:{google.job_calls:02}:00Z", "status": {}} if google.job_calls else {}
    return {"name": request.name, "state": "ENABLED", **began}


def _run_job(google: Google, request: Request) -> Json:
    if request.name.rpartition("/")[2] not in google.jobs:
        raise missing(request.name)
    google.job_calls += 1
    google.on_job()
    return {"name": request.name}


def _service(google: Google, request: Request) -> Json:
    return google.services.shown(request.name.rpartition("/")[2], google.urls)


def _replace_service(google: Google, request: Request) -> Json:
    name = request.name.rpartition("/")[2]
    stage = "NAME-" + name.rpartition("-")[2]
    google.require(request.account, "iam.serviceAccounts.actAs", stage)
    google.require(request.account, "artifactregistry.repositories.downloadArtifacts", "repository")
    google.services.replace(name, request.body)
    return google.services.shown(name, google.urls)


def _project(google: Google, request: Request) -> Json:
    named = {"projectId": google.project, "projectNumber": google.number, "name": google.project}
    return {**named, "lifecycleState": "ACTIVE"}


def _billing(*_: object) -> Json:
    return {"billingEnabled": True}


def _project_policy(google: Google, request: Request) -> Json:
    return {"bindings": [{"role": "roles/owner", "members": [f"user:{PERSON}"]}], "version": 1, "etag": "BwX="}


Answer = Callable[[Google, Request], Json]
ANSWERS: Mapping[str, tuple[str, Answer]] = {
    "cloudbilling.projects.getBillingInfo": ("", _billing),
    "cloudbuild.projects.locations.builds.create": ("cloudbuild.builds.create", _create_build),
    "cloudbuild.projects.locations.builds.get": ("cloudbuild.builds.get", _get_build),
    "cloudbuild.projects.locations.builds.list": ("cloudbuild.builds.list", _list_builds),
    "cloudfunctions.projects.locations.functions.get": ("cloudfunctions.functions.get", _of("functions")),
    "cloudresourcemanager.projects.get": ("resourcemanager.projects.get", _project),
    "cloudresourcemanager.projects.getIamPolicy": ("resourcemanager.projects.getIamPolicy", _project_policy),
    "cloudscheduler.projects.locations.jobs.get": ("cloudscheduler.jobs.get", _scheduled),
    "cloudscheduler.projects.locations.jobs.run": ("cloudscheduler.jobs.run", _run_job),
    "eventarc.projects.locations.triggers.get": ("eventarc.triggers.get", _of("triggers")),
    "pubsub.projects.subscriptions.getIamPolicy": (
        "pubsub.subscriptions.getIamPolicy",
        lambda google, request: google.policies.get(request.name, {"etag": "ACAB"}),
    ),
    "pubsub.projects.subscriptions.patch": ("pubsub.subscriptions.update", _update_subscription),
    "pubsub.projects.subscriptions.setIamPolicy": ("pubsub.subscriptions.setIamPolicy", _set_policy),
    "run.namespaces.jobs.get": ("run.jobs.get", _of("run_jobs")),
    "run.namespaces.revisions.get": (
        "run.revisions.get",
        lambda google, request: google.services.revision(request.name.rpartition("/")[2]),
    ),
    "run.namespaces.services.get": ("run.services.get", _service),
    "run.namespaces.services.replaceService": ("run.services.update", _replace_service),
    "serviceusage.services.batchEnable": ("serviceusage.services.enable", _enable),
    "serviceusage.services.enable": ("serviceusage.services.enable", _enable),
    "serviceusage.services.list": ("serviceusage.services.list", _services),
    "serviceusage.operations.get": ("", lambda *_: _done()),
    "serviceusage.services.generateServiceIdentity": ("serviceusage.services.enable", _identity),
}
"""Method → the permission that it asks for on the project, and what it does."""
