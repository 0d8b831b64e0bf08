"""The pipeline on Beam's own runner, with a bucket that lets it do what `GRANTS` allows: role → prefixes, as JSON.

Runs in Beam's environment: `python -m tests.functions.beam_with_grants GRANTS --bucket=… --folder=…`. Prints the grants
that nothing needed.
"""

import json
import sys

from functions.batch import pipeline
from shared.store import CloudStore
from tests.granted_store import GrantedStore

if __name__ == "__main__":
    allowed, *options = sys.argv[1:]
    made: list[GrantedStore] = []

    def granted(bucket: str) -> GrantedStore:
        store = CloudStore(bucket)
        made.append(GrantedStore(store, {role: tuple(prefixes) for role, prefixes in json.loads(allowed).items()}))
        return made[-1]

    pipeline.store_of = granted
    pipeline.main([*options, "--runner=DirectRunner"])
    unused = set.intersection(*(store.unused() for store in made))
    sys.stdout.write(json.dumps(sorted(unused)))
