"""Stands in for `app.adapters.model_check` as the process that a model is tried in: it does what the card says."""

import json
import os
import signal
import sys
import threading
from pathlib import Path


def _nosy() -> str:
    """What a hostile model would find here."""
    own = Path("/proc/self/fd")
    files = [str(one.readlink()) for one in own.iterdir() if one.exists()]
    told = {"environment": sorted(os.environ), "files": files, "folder": str(Path.cwd()), "path": sys.argv[1]}
    return json.dumps(told)


def main() -> int:
    what = (Path(sys.argv[1]) / "card.json").read_text()
    match what:
        case "nosy":
            sys.stdout.write(_nosy())
        case "never":
            threading.Event().wait()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            return 17
        case "babble":
            sys.stdout.write("all is well")
            return 0
    return 3


if __name__ == "__main__":
    sys.exit(main())
