"""What an archive costs: time and money for 10 million and a billion slices, from a measured rate.

    python benchmarks/cluster_cost.py --rate 500        # slices a second of one processor, from benchmarks/speed.py

Prints the table of docs/clusters.md. It is arithmetic on four assumptions, which are options; none of them is measured
but the rate.
"""

from __future__ import annotations

import argparse

SLICES = {"10 million": 10_000_000, "1 billion": 1_000_000_000}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, required=True, help="slices a second of one processor, files included")
    parser.add_argument("--efficiency", type=float, default=0.85, help="share of the rate that a cluster keeps")
    parser.add_argument("--price", type=float, default=0.04, help="of a processor for an hour, in dollars")
    parser.add_argument("--file", type=float, default=60.0, help="size of a slice's file, in kB")
    parser.add_argument("--processors", type=int, nargs="+", default=[16, 256, 4096])
    arguments = parser.parse_args()
    print(
        f"{arguments.rate:.0f} slices a second and processor, {arguments.efficiency:.0%} of it in a cluster, "
        f"${arguments.price:.3f} an hour and processor, {arguments.file:.0f} kB a slice:\n"
    )
    print("| slices | processors | time | processor hours | price | read from the store |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, slices in SLICES.items():
        hours = slices / (arguments.rate * arguments.efficiency) / 3600
        for processors in arguments.processors:
            seconds = hours * 3600 / processors
            gigabits = slices * arguments.file * 8e3 / 1e9 / seconds
            unit, name_of = next((u, n) for u, n in ((3600, "h"), (60, "min"), (1, "s")) if seconds > 1.5 * u or u == 1)
            shown = f"{seconds / unit:.3g} {name_of}"
            price = hours * arguments.price
            print(f"| {name} | {processors:,} | {shown} | {hours:,.0f} | ${price:,.2f} | {gigabits:.2f} Gbit/s |")


if __name__ == "__main__":
    main()
