"""Cloud Run's services as its API shows them: revisions, traffic by share and by tag, and conditions to wait for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.infra.rehearsal.refusals import missing

Json = dict[str, Any]
NOWHERE = "http://127.0.0.1:9"


@dataclass
class Service:
    """`revisions`: image by name, the newest last; `traffic`: as `spec.traffic` was sent."""

    spec: Json
    revisions: dict[str, str] = field(default_factory=dict)
    traffic: list[Json] = field(default_factory=lambda: [{"latestRevision": True, "percent": 100}])
    generation: int = 1
    annotations: Json = field(default_factory=dict)

    @property
    def newest(self) -> str:
        return next(reversed(self.revisions))


@dataclass
class Services:
    """All services of a project by their names."""

    known: dict[str, Service] = field(default_factory=dict)

    def create(self, name: str, image: str) -> None:
        if name not in self.known:
            spec = {"metadata": {}, "spec": {"containers": [{"image": image}], "containerConcurrency": 80}}
            self.known[name] = Service(spec, {f"{name}-00001": image})

    def replace(self, name: str, body: Json) -> None:
        """What a client sent in a service's place: a new template is a new revision. Raises KeyError."""
        service, spec = self.known[name], body["spec"]
        image = spec["template"]["spec"]["containers"][0]["image"]
        asked = spec["template"].get("metadata", {}).get("name")
        if image != service.revisions[service.newest] or (asked and asked not in service.revisions):
            service.revisions[asked or f"{name}-{len(service.revisions) + 1:05}"] = image
        service.spec, service.traffic = spec["template"], spec.get("traffic") or service.traffic
        service.annotations = body["metadata"].get("annotations", {})
        service.generation += 1

    def shares(self, name: str) -> dict[str, int]:
        """The percentage of the traffic that each image gets."""
        service = self.known[name]
        return {
            service.revisions[self._named(service, entry)]: entry["percent"]
            for entry in service.traffic
            if entry.get("percent")
        }

    def shown(self, name: str, urls: Mapping[str, str]) -> Json:
        if name not in self.known:
            raise missing(f"Service {name}")
        service = self.known[name]
        statuses = [self._status(service, entry, urls) for entry in service.traffic]
        serving = max(self.shares(name).items(), key=lambda entry: entry[1])[0]
        url = urls.get(serving, NOWHERE)
        ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ConfigurationsReady", "RoutesReady")]
        return {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": "123456789012",
                "generation": service.generation,
                "resourceVersion": str(service.generation),
                "labels": {"cloud.googleapis.com/location": "europe-west1"},
                "annotations": service.annotations,
            },
            "spec": {"template": service.spec, "traffic": service.traffic},
            "status": {
                "observedGeneration": service.generation,
                "conditions": ready,
                "latestCreatedRevisionName": service.newest,
                "latestReadyRevisionName": service.newest,
                "traffic": statuses,
                "url": url,
                "address": {"url": url},
            },
        }

    def revision(self, name: str) -> Json:
        for service in self.known.values():
            if name in service.revisions:
                containers = [{"image": service.revisions[name]}]
                return {
                    "apiVersion": "serving.knative.dev/v1",
                    "kind": "Revision",
                    "metadata": {"name": name, "namespace": "123456789012"},
                    "spec": {"containers": containers},
                    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
                }
        raise missing(f"Revision {name}")

    @staticmethod
    def _named(service: Service, entry: Json) -> str:
        return service.newest if entry.get("latestRevision") else str(entry["revisionName"])

    def _status(self, service: Service, entry: Json, urls: Mapping[str, str]) -> Json:
        revision = self._named(service, entry)
        tagged = {"url": urls.get(service.revisions[revision], NOWHERE)} if entry.get("tag") else {}
        return {**entry, "revisionName": revision, **tagged}
