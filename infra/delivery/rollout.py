"""How a service comes to serve another image: tested without traffic, then given a share or all of it, or taken back.

A revision that fails its smoke check has never had a caller; one that fails after the shift gives the traffic back to
the revision that served before. `roll_out` again goes on where it was left.
"""

from infra.delivery.cloud_run import CANDIDATE, PREVIOUS, CloudRunService, State, identity_token, smoke
from infra.delivery.errors import Stopped

ALL = 100


def roll_out(service: CloudRunService, image: str, percent: int = ALL) -> None:
    """Let `percent` of the traffic meet `image`. Raises Stopped; what served before then serves everything."""
    before = service.state()
    if before.image == image and set(before.shares) == {_tagged(before)}:
        _ask(service, before.url, before.url, image)
        print(f"{service.name} serves {image} already", flush=True)
        return
    old = _served_before(service, before, image)
    old_image = service.image_of(old)
    print(f"{service.name} serves {old_image} in {old}", flush=True)
    try:
        if before.image != image or CANDIDATE not in before.tags:
            service.introduce(image)
        state = service.state()
        _ask(service, state.tags[CANDIDATE][1], state.url, image)
        _shift(service, old, percent)
        if percent == ALL:
            url = service.state().url
            _ask(service, url, url, image)
    except BaseException as failure:
        raise _moved_back(service, old, old_image, failure) from failure
    share = "" if percent == ALL else f" for {percent} % of the traffic; the rest stays with {old}"
    print(f"{service.name} serves {image} in {state.tags[CANDIDATE][0]}{share}", flush=True)


def take_back(service: CloudRunService) -> str:
    """The traffic to what served before the release that is under way, or before the last one; its image.

    Raises Stopped where there is nothing to go back to.
    """
    state = service.state()
    if len(state.shares) > 1:
        revision = _other(service, state)
    elif PREVIOUS in state.tags and state.tags[PREVIOUS][0] != state.revision:
        revision = state.tags[PREVIOUS][0]
    else:
        raise Stopped(f"{service.name} has no revision that served before the one that serves now: nothing was changed")
    image = service.image_of(revision)
    service.back_to(revision, image)
    return image


def _tagged(state: State) -> str | None:
    return state.tags[CANDIDATE][0] if CANDIDATE in state.tags else None


def _served_before(service: CloudRunService, state: State, image: str) -> str:
    """The revision that this release takes the traffic from."""
    if len(state.shares) == 1:
        return state.revision
    if state.image != image:
        raise Stopped(
            f"{service.name} is in the middle of another release ({state.image}): go on with that one (make release at"
            " its commit), or end it (make release BACK=1); nothing was changed"
        )
    return _other(service, state)


def _other(service: CloudRunService, state: State) -> str:
    others = [revision for revision in state.shares if revision != _tagged(state)]
    if len(others) != 1:
        raise Stopped(
            f"{service.name} shares its traffic among {', '.join(state.shares)}, as no release does: settle it with"
            f" 'gcloud run services update-traffic {service.name} --to-latest', then try again"
        )
    return others[0]


def _ask(service: CloudRunService, url: str, audience: str, image: str) -> None:
    """Smoke-test an address. A tagged revision's token names the service: Cloud Run accepts the service's own URL as
    the audience for all of its addresses (https://cloud.google.com/run/docs/configuring/custom-audiences)."""
    if not smoke(url, identity_token(audience)):
        raise Stopped(f"{service.name} does not pass the smoke check with {image}")


def _shift(service: CloudRunService, old: str, percent: int) -> None:
    if percent == ALL:
        service.settle(old)
    else:
        service.share(percent)


def _moved_back(service: CloudRunService, old: str, image: str, failure: BaseException) -> Stopped:
    why = str(failure) or type(failure).__name__
    try:
        service.back_to(old, image)
    except Stopped as second:
        return Stopped(
            f"{why}; and moving back failed too: {second}. Look at it now: gcloud run services describe {service.name}"
            f" --project={service.project} --region={service.region}; revision {old} served before"
        )
    return Stopped(f"{why}; moved back to {image}, which served before")
