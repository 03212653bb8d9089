"""Error rates of the test that ends a rollout, by simulation: `python -m tests.benchmark.rollout`."""

from typing import Final

from app.serving.rollout.decision import LIMIT
from tests.benchmark import report
from tests.support.json_object import JsonObject
from tests.support.simulated_rollouts import SHARES, simulate

ROLLOUTS: Final = 1000

RATES: Final = (
    (0.001, 0.001),
    (0.01, 0.01),
    (0.05, 0.05),
    (0.01, 0.02),
    (0.01, 0.05),
    (0.01, 0.10),
    (0.01, 0.50),
    (0.001, 0.50),
)
"""Rate of bad events of the champion, and that of the challenger."""

ROWS_OF_STEP: Final = (1_000, 10_000)


def main() -> None:
    """Simulate, print the page, and write `docs/benchmarks/rollout.*`."""
    results: list[JsonObject] = []
    for champion, challenger in RATES:
        for rows in ROWS_OF_STEP:
            outcome = simulate(champion, challenger, rows_of_step=rows, rollouts=ROLLOUTS)
            results.append(
                {
                    "champion_rate": champion,
                    "challenger_rate": challenger,
                    "rows_of_step": rows,
                    "rolled_back": outcome.rollbacks,
                    "median_rows": outcome.median_rows,
                }
            )
    page = _page(results)
    print(page)  # noqa: T201 - the result
    report.write_report("rollout", {"rollouts": ROLLOUTS, "shares": SHARES, "results": results}, page, {})


def _page(results: list[JsonObject]) -> str:
    rows = [
        (
            f"{one['champion_rate']:.1%}",
            f"{one['challenger_rate']:.1%}",
            f"{one['rows_of_step']:,}",
            f"{one['rolled_back']:.1%}" + (" (false)" if one["champion_rate"] == one["challenger_rate"] else ""),
            "" if one["median_rows"] is None else f"{one['median_rows']:,.0f}",
        )
        for one in results
    ]
    header = (
        "bad requests of the champion",
        "of the challenger",
        "requests of each step",
        "rolled back",
        "requests until then, median",
    )
    shares = ", ".join(f"{share:.0%}" for share in SHARES)
    return "\n".join(
        (
            "# How often a rollout goes back, and how soon\n",
            f"`python -m tests.benchmark.rollout`: {ROLLOUTS:,} simulated rollouts for each row of the table, with",
            f"steps of {shares}, judged after every bad request by the service's own test",
            f"(e-value of at least {LIMIT:g}).",
            "Bad requests are of one kind; the test allows for three. Requests are those of both sides. Of equal",
            "challengers, at most 5 % may go back.\n",
            report.markdown_table(header, rows) + "\n",
        )
    )


if __name__ == "__main__":
    main()
