"""``python -m jaxnas tabulate``."""

from jaxnas import report, setup
from jaxnas.machine import machine
from jaxnas.tabulate import SPEED, tabulate


def run(options, overrides: list[str]) -> int:
    """Train every architecture of a space, or go on, and write their table."""
    setup.start()
    experiment, source = setup.load(options.config, overrides)
    setup.use(experiment)
    origin = {"source": source, "overrides": overrides, **machine()}
    speed = SPEED if options.speed is None else options.speed
    with report.table_report_on(report.console()) as callback:
        made = tabulate(experiment, options.out, callback, options.seeds, options.sample, speed, origin, options.curves)
    failed = f", {made['failed']:,} trainings failed" if made["failed"] else ""
    what = f"{made['rows']:,} architectures, {made['seeds']} seed{'s' * (made['seeds'] > 1)}"
    print(f"{options.out}: {what}, {made['epochs']} epochs{failed}; md5 {made['md5']}")
    return 0
