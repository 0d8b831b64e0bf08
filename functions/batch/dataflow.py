"""Starts the pipeline on Dataflow for a file beyond one function's time. The one home of google-cloud-dataflow-client.

A job's name comes from the folder of its answer: an event that is delivered twice starts one job, since Dataflow
refuses a second one of the same name while the first is active.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.batch.rows import BatchRefused
from shared.errors import NotPermitted, TransientError

if TYPE_CHECKING:
    from google.cloud.dataflow_v1beta3 import FlexTemplatesServiceClient, LaunchFlexTemplateRequest

CALL_SECONDS = 30.0
Connect = Callable[[], "FlexTemplatesServiceClient"]


@dataclass(frozen=True)
class DataflowSettings:
    """`template`: the gs:// address of the Flex template's file; `account`: whom the workers act as."""

    project: str
    region: str
    template: str
    account: str
    max_workers: int


def client() -> "FlexTemplatesServiceClient":
    """The real service's client."""
    from google.cloud.dataflow_v1beta3 import FlexTemplatesServiceClient

    return FlexTemplatesServiceClient()


def job_name(folder: str) -> str:
    """The name of the job that answers into `folder`: lower-case letters, digits and hyphens, as Dataflow wants it."""
    return f"batch-{hashlib.sha256(folder.encode()).hexdigest()[:32]}"


def start(
    settings: DataflowSettings,
    bucket: str,
    folder: str,
    connect: "Connect" = client,
) -> str:
    """Start the job that answers into `folder`, unless it runs; its name.

    Raises BatchRefused where Dataflow will never take it, TransientError where it may (a quota, an outage, a
    permission that may still be granted, a template that the first deploy has yet to write).
    """
    from google.api_core import exceptions as api

    name = job_name(folder)
    try:
        connect().launch_flex_template(request=_launch(settings, bucket, folder, name), timeout=CALL_SECONDS)
    except api.AlreadyExists:
        pass
    except (api.PermissionDenied, api.Unauthenticated) as error:
        raise NotPermitted(f"Dataflow denied starting {name}: {error.message}") from error
    except (api.InvalidArgument, api.FailedPrecondition) as error:
        problem = f"Dataflow refused the job {name}: {error.message}; check the template and its region"
        raise BatchRefused("dataflow_refused", [problem]) from error
    except api.GoogleAPIError as error:
        raise TransientError(f"Dataflow did not start {name}: {type(error).__name__}: {error}") from error
    return name


def _launch(settings: DataflowSettings, bucket: str, folder: str, name: str) -> "LaunchFlexTemplateRequest":
    from google.cloud import dataflow_v1beta3 as dataflow

    scratch = f"gs://{bucket}/batch/tmp"
    return dataflow.LaunchFlexTemplateRequest(
        project_id=settings.project,
        location=settings.region,
        launch_parameter=dataflow.LaunchFlexTemplateParameter(
            job_name=name,
            container_spec_gcs_path=settings.template,
            parameters={"bucket": bucket, "folder": folder},
            environment=dataflow.FlexTemplateRuntimeEnvironment(
                service_account_email=settings.account,
                max_workers=settings.max_workers,
                temp_location=scratch,
                staging_location=scratch,
            ),
        ),
    )
