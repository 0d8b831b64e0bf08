"""Routes of buckets, and the small endpoints that gsutil and gcloud ask before they start."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.storage.conditions import number
from infra.local.storage.faults import Fault, no_access_controls, required
from infra.local.storage.request import conditions, json_body, links, segment, storage
from infra.local.storage.resources import Json, bucket_resource

_PAGE = 1000


async def create_bucket(request: Request) -> Response:
    """Buckets: insert."""
    bucket = storage(request).buckets.create(await json_body(request))
    return JSONResponse(bucket_resource(bucket, links(request)))


async def list_buckets(request: Request) -> Response:
    parameters = request.query_params
    if "project" not in parameters:
        raise required("project")
    limit = min(number(parameters, "maxResults") or _PAGE, _PAGE)
    found = storage(request).buckets.after(parameters.get("prefix", ""), parameters.get("pageToken", ""), limit + 1)
    answer: Json = {"kind": "storage#buckets", "items": [bucket_resource(b, links(request)) for b in found[:limit]]}
    if len(found) > limit:
        answer["nextPageToken"] = found[limit - 1].name
    return JSONResponse(answer)


async def get_bucket(request: Request) -> Response:
    """Buckets: get."""
    bucket = storage(request).buckets.get(segment(request, "bucket"))
    conditions(request).require_for_read(bucket)
    return JSONResponse(bucket_resource(bucket, links(request)))


async def change_bucket(request: Request) -> Response:
    changed = storage(request).buckets.patch(
        segment(request, "bucket"), await json_body(request), conditions(request), replace=request.method == "PUT"
    )
    return JSONResponse(bucket_resource(changed, links(request)))


async def delete_bucket(request: Request) -> Response:
    storage(request).buckets.delete(segment(request, "bucket"), conditions(request))
    return Response(status_code=204)


async def get_policy(request: Request) -> Response:
    return JSONResponse(storage(request).buckets.policy(segment(request, "bucket")))


async def set_policy(request: Request) -> Response:
    """Buckets: setIamPolicy."""
    policy = await json_body(request)
    return JSONResponse(storage(request).buckets.set_policy(segment(request, "bucket"), policy))


async def test_permissions(request: Request) -> Response:
    """Everybody may do everything here."""
    storage(request).buckets.get(segment(request, "bucket"))
    permissions = request.query_params.getlist("permissions")
    return JSONResponse({"kind": "storage#testIamPermissionsResponse", "permissions": permissions})


async def storage_layout(request: Request) -> Response:
    bucket = bucket_resource(storage(request).buckets.get(segment(request, "bucket")), links(request))
    layout = {name: bucket[name] for name in ("location", "locationType")}
    return JSONResponse(
        {
            "kind": "storage#storageLayout",
            "bucket": bucket["name"],
            **layout,
            "hierarchicalNamespace": {"enabled": False},
        }
    )


async def managed_folders(request: Request) -> Response:
    storage(request).buckets.get(segment(request, "bucket"))
    return JSONResponse({"kind": "storage#managedFolders", "items": []})


async def folders(request: Request) -> Response:
    storage(request).buckets.get(segment(request, "bucket"))
    raise Fault(409, "conflict", "The bucket does not support hierarchical namespace.")


async def access_controls(request: Request) -> Response:
    storage(request).buckets.get(segment(request, "bucket"))
    raise no_access_controls()


async def create_notification(request: Request) -> Response:
    resource = await json_body(request)
    return JSONResponse(storage(request).buckets.add_notification(segment(request, "bucket"), resource))


async def list_notifications(request: Request) -> Response:
    items = storage(request).buckets.notifications(segment(request, "bucket"))
    return JSONResponse({"kind": "storage#notifications", "items": items})


async def get_notification(request: Request) -> Response:
    number = segment(request, "notification")
    return JSONResponse(storage(request).buckets.notification(segment(request, "bucket"), number))


async def delete_notification(request: Request) -> Response:
    """Notifications: delete."""
    storage(request).buckets.delete_notification(segment(request, "bucket"), segment(request, "notification"))
    return Response(status_code=204)


async def service_account(request: Request) -> Response:
    project = segment(request, "project")
    email = f"service-1@gs-project-accounts.{project}.iam.gserviceaccount.com"
    return JSONResponse({"kind": "storage#serviceAccount", "email_address": email})


_BUCKET = "/storage/v1/b/{bucket}"

ROUTES = [
    Route("/storage/v1/b", create_bucket, methods=["POST"]),
    Route("/storage/v1/b", list_buckets, methods=["GET"]),
    Route(_BUCKET, get_bucket, methods=["GET"]),
    Route(_BUCKET, change_bucket, methods=["PATCH", "PUT"]),
    Route(_BUCKET, delete_bucket, methods=["DELETE"]),
    Route(f"{_BUCKET}/iam", get_policy, methods=["GET"]),
    Route(f"{_BUCKET}/iam", set_policy, methods=["PUT"]),
    Route(f"{_BUCKET}/iam/testPermissions", test_permissions, methods=["GET"]),
    Route(f"{_BUCKET}/storageLayout", storage_layout, methods=["GET"]),
    Route(f"{_BUCKET}/managedFolders", managed_folders, methods=["GET"]),
    Route(f"{_BUCKET}/folders", folders, methods=["GET"]),
    Route(f"{_BUCKET}/acl", access_controls, methods=["GET", "POST"]),
    Route(f"{_BUCKET}/defaultObjectAcl", access_controls, methods=["GET", "POST"]),
    Route(f"{_BUCKET}/notificationConfigs", create_notification, methods=["POST"]),
    Route(f"{_BUCKET}/notificationConfigs", list_notifications, methods=["GET"]),
    Route(f"{_BUCKET}/notificationConfigs/{{notification}}", get_notification, methods=["GET"]),
    Route(f"{_BUCKET}/notificationConfigs/{{notification}}", delete_notification, methods=["DELETE"]),
    Route("/storage/v1/projects/{project}/serviceAccount", service_account, methods=["GET"]),
]
