"""Ways to be broken on purpose, for trying what a deployment does with a bad release.

A file BROKEN in the working directory names the way. It is read once, at boot: a release does not change while it runs.

    exit-at-boot           a traceback on standard error, then exit status 3
    slow-boot=SECONDS      a boot that takes as long as loading a large model
    never-listen           the process lives but opens no port
    health-500             /health answers 500
    health-hang            /health never answers
    wrong-path             /health answers 404, /healthz answers 200
    bad-after=SECONDS      /health turns to 500 so long after its first good answer to a proxy, and so not before visitors
                           come; everything else goes on answering
    bad-when=FILE          the same, as soon as that file is there, and for as long as this process lives
"""

import sys
import threading
import time
import traceback
from pathlib import Path

AT_BOOT = ("exit-at-boot", "slow-boot", "never-listen")
AT_HEALTH = ("health-500", "health-hang", "wrong-path", "bad-after", "bad-when")
WITH_SECONDS = ("slow-boot", "bad-after")


class Broken:
    """The way this release is broken; `way` is empty when it is not."""

    def __init__(self, text: str) -> None:
        self.way, _, value = text.strip().partition("=")
        if self.way and self.way not in AT_BOOT + AT_HEALTH:
            sys.exit(f"BROKEN: unknown way {text.strip()!r}")
        try:
            self.seconds = float(value) if self.way in WITH_SECONDS else 0.0
        except ValueError:
            sys.exit(f"BROKEN: {self.way} needs a number of seconds, got {value!r}")
        self.file = Path(value) if self.way == "bad-when" else None
        self._first_good = None
        self._bad = self.way == "health-500"

    def boot(self) -> None:
        """Fail, dawdle or hang as told. Called while the module loads, so uvicorn has opened no port yet."""
        if self.way == "exit-at-boot":
            try:
                Path("ai_models/model.keras").open("rb").close()
                raise RuntimeError("the model cannot be read")
            except (OSError, RuntimeError):
                traceback.print_exc()
                sys.exit(3)
        if self.way == "slow-boot":
            time.sleep(self.seconds)
        if self.way == "never-listen":
            threading.Event().wait()

    def turned_bad(self, by_proxy: bool) -> bool:
        """Whether /health must answer 500 now, to a request that came by a proxy or straight."""
        if self.way == "bad-after":
            if self._first_good is None and by_proxy:
                self._first_good = time.monotonic()
            self._bad = self._first_good is not None and time.monotonic() - self._first_good >= self.seconds
        if self.file is not None and self.file.exists():
            self._bad = True
        return self._bad


def read(file: str = "BROKEN") -> Broken:
    """Read the file; a missing one means a sound release."""
    try:
        return Broken(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Broken("")
