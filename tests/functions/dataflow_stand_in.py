"""Dataflow's API for Flex templates, as far as batches use it: launched jobs by name, refused as the service does.

What the service does: https://cloud.google.com/dataflow/docs/reference/rpc/google.dataflow.v1beta3
(LaunchFlexTemplate); parameters are checked against the template's metadata, and a job whose name another active one
has is ALREADY_EXISTS.
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.cloud import dataflow_v1beta3 as dataflow
from google.cloud.dataflow_v1beta3.services.flex_templates_service.transports import (
    FlexTemplatesServiceGrpcTransport,
)

TEMPLATE = Path(__file__).parents[2] / "functions" / "batch" / "flex" / "template.json"
SERVICE = "google.dataflow.v1beta3.FlexTemplatesService"
NAME = re.compile(r"[a-z]([-a-z0-9]{0,1022}[a-z0-9])?")


@dataclass
class StandIn:
    """`fault`: what every launch is refused with."""

    address: str = ""
    launched: list[Any] = field(default_factory=list)
    fault: grpc.StatusCode | None = None

    def connect(self) -> dataflow.FlexTemplatesServiceClient:
        """Google's own client, of this service."""
        channel = grpc.insecure_channel(self.address, options=[("grpc.enable_http_proxy", 0)])
        return dataflow.FlexTemplatesServiceClient(transport=FlexTemplatesServiceGrpcTransport(channel=channel))

    def launch(self, request: Any, context: grpc.ServicerContext) -> Any:
        asked = request.launch_parameter
        if self.fault is not None:
            context.abort(self.fault, "as the test says")
        problem = _problem(asked)
        if problem:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
        if any(job.launch_parameter.job_name == asked.job_name for job in self.launched):
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"There is already an active job named {asked.job_name}.")
        self.launched.append(request)
        return dataflow.LaunchFlexTemplateResponse(job=dataflow.Job(id="1", name=asked.job_name))


def _problem(asked: Any) -> str:
    known = {entry["name"]: entry for entry in json.loads(TEMPLATE.read_text())["metadata"]["parameters"]}
    if not NAME.fullmatch(asked.job_name):
        return f"The job name {asked.job_name} is invalid."
    if not asked.container_spec_gcs_path.startswith("gs://"):
        return "container_spec_gcs_path must be in Cloud Storage."
    for name, value in asked.parameters.items():
        if name not in known or not all(re.fullmatch(regex, value) for regex in known[name]["regexes"]):
            return f"The template parameter {name} is invalid."
    missing = [name for name, entry in known.items() if not entry["isOptional"] and name not in asked.parameters]
    return f"Missing required parameters: {missing}" if missing else ""


@contextmanager
def running_dataflow() -> Iterator[StandIn]:
    stand_in = StandIn()
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(
        stand_in.launch,
        request_deserializer=dataflow.LaunchFlexTemplateRequest.deserialize,
        response_serializer=dataflow.LaunchFlexTemplateResponse.serialize,
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"LaunchFlexTemplate": handler})])
    stand_in.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield stand_in
    finally:
        server.stop(None).wait()
