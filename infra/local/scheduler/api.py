"""The methods of google.cloud.scheduler.v1.CloudScheduler, as google-cloud-scheduler's own client calls them."""

from collections.abc import Callable
from concurrent import futures
from datetime import UTC, datetime
from typing import Any

import grpc
from google.cloud.scheduler_v1 import (
    CreateJobRequest,
    DeleteJobRequest,
    GetJobRequest,
    Job,
    ListJobsRequest,
    ListJobsResponse,
    PauseJobRequest,
    ResumeJobRequest,
    RunJobRequest,
    UpdateJobRequest,
)
from google.protobuf import empty_pb2

from infra.local.scheduler import jobs
from infra.local.scheduler.executions import Executions
from infra.local.scheduler.jobs import JobStore, Refused
from shared.errors import PipelineError

SERVICE = "google.cloud.scheduler.v1.CloudScheduler"
MAX_PAGE = 500


class CannotListen(PipelineError):
    """A port is taken; the message names it."""


class CloudScheduler:
    """The methods of the service, each from its request message to its response."""

    def __init__(self, store: JobStore, executions: Executions, *, allow_seconds: bool) -> None:
        self._store = store
        self._executions = executions
        self._allow_seconds = allow_seconds

    def create(self, request: CreateJobRequest) -> Job:
        job = jobs.created(request.parent, request.job, datetime.now(UTC), allow_seconds=self._allow_seconds)
        self._store.add(job)
        return job

    def get(self, request: GetJobRequest) -> Job:
        return self._shown(self._store.get(request.name))

    def list(self, request: ListJobsRequest) -> ListJobsResponse:
        """Pages by name: the token is the last name of the page before."""
        found = [
            self._shown(job)
            for job in self._store.all()
            if job.name.startswith(f"{request.parent}/jobs/") and job.name > request.page_token
        ]
        size = min(request.page_size or MAX_PAGE, MAX_PAGE)
        token = found[size - 1].name if len(found) > size else ""
        return ListJobsResponse(jobs=found[:size], next_page_token=token)

    def update(self, request: UpdateJobRequest) -> Job:
        def edit(job: Job) -> None:
            jobs.updated(job, request.job, request.update_mask, datetime.now(UTC), allow_seconds=self._allow_seconds)

        return self._store.change(request.job.name, edit)

    def delete(self, request: DeleteJobRequest) -> empty_pb2.Empty:
        self._store.remove(request.name)
        return empty_pb2.Empty()

    def pause(self, request: PauseJobRequest) -> Job:
        return self._store.change(request.name, lambda job: _move(job, Job.State.ENABLED, Job.State.PAUSED))

    def resume(self, request: ResumeJobRequest) -> Job:
        def edit(job: Job) -> None:
            _move(job, Job.State.PAUSED, Job.State.ENABLED)
            jobs.schedule_next(job, datetime.now(UTC), allow_seconds=self._allow_seconds)

        return self._store.change(request.name, edit)

    def run(self, request: RunJobRequest) -> Job:
        """Now, whatever the schedule and the state say."""
        job = self._store.get(request.name)
        self._executions.start(job.name, datetime.now(UTC), forced=True)
        return self._shown(job)

    def _shown(self, job: Job) -> Job:
        """`schedule_time` is the retry's while one is pending."""
        retry = self._executions.retry_time(job.name)
        if retry is not None:
            job.schedule_time = retry
        return job

    def handler(self) -> grpc.GenericRpcHandler:
        methods = {
            "CreateJob": (self.create, CreateJobRequest),
            "GetJob": (self.get, GetJobRequest),
            "ListJobs": (self.list, ListJobsRequest),
            "UpdateJob": (self.update, UpdateJobRequest),
            "DeleteJob": (self.delete, DeleteJobRequest),
            "PauseJob": (self.pause, PauseJobRequest),
            "ResumeJob": (self.resume, ResumeJobRequest),
            "RunJob": (self.run, RunJobRequest),
        }
        return grpc.method_handlers_generic_handler(
            SERVICE, {name: _rpc(method, request) for name, (method, request) in methods.items()}
        )


def _move(job: Job, expected: Job.State, to: Job.State) -> None:
    if job.state != expected:
        raise Refused(
            grpc.StatusCode.FAILED_PRECONDITION, f"the job must be {expected.name} for this, it is {job.state.name}"
        )
    job.state = to
    job.schedule_time = None


def _rpc(method: Callable[[Any], Any], request: Any) -> grpc.RpcMethodHandler:
    def call(message: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(message)
        except Refused as refused:
            return context.abort(refused.code, str(refused))

    return grpc.unary_unary_rpc_method_handler(
        call, request_deserializer=request.deserialize, response_serializer=_serialize
    )


def _serialize(message: Any) -> bytes:
    data: bytes = (
        message.SerializeToString() if isinstance(message, empty_pb2.Empty) else type(message).serialize(message)
    )
    return data


def grpc_server(host: str, port: int, service: CloudScheduler) -> tuple[grpc.Server, int]:
    """The server, not started, and its port. Raises CannotListen."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([service.handler()])
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        bound = 0
    if bound == 0:
        raise CannotListen(f"port {port} is not free: choose another with --port")
    return server, bound
