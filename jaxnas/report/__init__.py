"""Reports: what a person sees. They read the ledger and never run JAX."""

from jaxnas.report.comparisons import FILES as COMPARISON_FILES
from jaxnas.report.comparisons import print_comparison, test_words, write_comparison
from jaxnas.report.console import console
from jaxnas.report.draw import draw, pretty
from jaxnas.report.finals import final_lines, final_report_on
from jaxnas.report.live import Report, report_on
from jaxnas.report.picture import dot_text, picture
from jaxnas.report.plans import print_plan
from jaxnas.report.tables import summary, trial_table
from jaxnas.report.tabulation import table_report_on
from jaxnas.report.targets import target_lines, target_table
from jaxnas.report.words import copied_from, costs, figures, introduced, scored

__all__ = [
    "COMPARISON_FILES",
    "Report",
    "console",
    "copied_from",
    "costs",
    "dot_text",
    "draw",
    "figures",
    "final_lines",
    "final_report_on",
    "introduced",
    "picture",
    "pretty",
    "print_comparison",
    "print_plan",
    "report_on",
    "scored",
    "summary",
    "table_report_on",
    "target_lines",
    "target_table",
    "test_words",
    "trial_table",
    "write_comparison",
]
