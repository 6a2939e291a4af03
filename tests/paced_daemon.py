"""``model-monitor run`` whose webhook relay waits milliseconds where it would wait hours: ``run -c FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from monitor import config
from monitor.actions.relay import Pace
from monitor.daemon import Daemon
from monitor.logs import configure

PACE = Pace(schedule_us=(0, *(50_000,) * 200), probe_every_us=100_000, poll_s=0.02)

if __name__ == "__main__":
    path = Path(sys.argv[3])
    configure(30, json_lines=False)
    daemon = Daemon(config.load(path), lambda: config.load(path), pace=PACE)
    print(f"serving {daemon.server.url}/", file=sys.stderr, flush=True)  # the log is for warnings only
    daemon.run()
