"""How gsutil, gcloud and Python are told to talk to the local storage: the text of a boto file, and environments."""

from collections.abc import Mapping
from pathlib import Path

LOOPBACK = "127.0.0.1,localhost"


def past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY of `environ` with this computer in it, in both spellings: libraries differ in which one they read first.

    A proxy cannot reach the loopback of the computer that asks it.
    """
    named = environ.get("no_proxy") or environ.get("NO_PROXY")
    value = ",".join(filter(None, (LOOPBACK, named)))
    return {"NO_PROXY": value, "no_proxy": value}


def boto_file(host: str, port: int, state_dir: Path) -> str:
    """A boto file for gsutil, to be named by `BOTO_CONFIG`. `port` speaks TLS; `state_dir` is gsutil's own folder.

    gsutil ignores a plain HTTP address, and checks the certificate unless it is told not to. Where gcloud has
    credentials its wrapper would send them along; an entry of `gcloud_environment` prevents that.
    """
    return f"""\
[Credentials]
gs_host = {host}
gs_port = {port}
gs_json_host = {host}
gs_json_port = {port}

[Boto]
https_validate_certificates = False
is_secure = True
num_retries = 3
max_retry_delay = 2

[GSUtil]
prefer_api = json
default_api_version = 2
default_project_id = local
state_dir = {state_dir}
software_update_check_period = 0
parallel_process_count = 1
use_gcloud_storage = False
"""


def gcloud_environment(url: str, config_dir: Path) -> dict[str, str]:
    """What `gcloud storage` (and gsutil's wrapper) needs in its environment. `url` may be the plain HTTP address."""
    return {
        "CLOUDSDK_CONFIG": str(config_dir),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{url.rstrip('/')}/storage/v1/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_PROJECT": "local",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "true",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_CORE_PASS_CREDENTIALS_TO_GSUTIL": "false",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_SURVEY_DISABLE_PROMPTS": "true",
    }
