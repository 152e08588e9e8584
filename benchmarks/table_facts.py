"""What a table made by `python -m jaxnas tabulate` is like as a benchmark.

    python benchmarks/table_facts.py TABLE.csv.gz

prints the spread of the scores, the noise between seeds beside it, how a score after few epochs, or of one seed, ranks
the architectures beside the mean after the last, and how many would do better than a share of all.
"""

import csv
import gzip
import sys

import numpy as np
from scipy.stats import kendalltau, spearmanr

QUANTILES = (0, 5, 25, 50, 75, 95, 100)


def read(path: str) -> dict[str, np.ndarray]:
    """Columns by name, NaN where a cell is empty; rows in which a training failed are left out."""
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0] if name != "tokens"}
    whole = ~np.isnan(found["valid"])
    print(f"{len(rows):,} architectures, {np.count_nonzero(~whole)} of them with a failed training")
    return {name: values[whole] for name, values in found.items()}


def main(path: str) -> None:
    table = read(path)
    seeds = sum(name.startswith("valid_s") for name in table)
    epochs = sum(name.startswith("valid_") for name in table) - seeds
    for kind in ("valid", "test"):
        scores = np.stack([table[f"{kind}_s{seed}"] for seed in range(seeds)])
        noise = np.sqrt(scores.var(0, ddof=1).mean()) if seeds > 1 else np.nan
        quantiles = "  ".join(f"{q}%: {np.percentile(table[kind], q):.4f}" for q in QUANTILES)
        print(f"{kind}: {quantiles}\n  std of architectures {table[kind].std():.4f}, between seeds {noise:.4f}")
        best = table[kind] >= np.percentile(table[kind], 90)
        if seeds > 1:
            print(
                f"  in the best tenth: {table[kind][best].std():.4f}, {np.sqrt(scores.var(0, ddof=1)[best].mean()):.4f}"
            )
    final = table["valid"]
    against = {f"valid_{epoch}": table[f"valid_{epoch}"] for epoch in range(1, epochs + 1)}
    against |= {name: table[name] for name in ("valid_s0", "test", "parameters", "multiply_adds")}
    for name, values in against.items():
        top = final >= np.percentile(final, 90)
        tau = kendalltau(values[top], final[top]).statistic
        print(
            f"{name} and valid: Spearman {spearmanr(values, final).statistic:.3f}, Kendall in the best tenth {tau:.3f}"
        )
    chosen = int(np.argmax(final))
    above = np.count_nonzero(table["test"] > table["test"][chosen])
    print(f"best by valid: {final[chosen]:.4f}, test {table['test'][chosen]:.4f}; {above} have a better test score")


main(sys.argv[1])
