"""The command line: parses, calls, prints."""
from __future__ import annotations
import argparse, sys
from pathlib import Path

def main() -> None:
    parser = argparse.ArgumentParser("sluice")
    sub = parser.add_subparsers(dest="command")
    run = sub.add_parser("run"); run.add_argument("recipe"); run.add_argument("--only")
    args = parser.parse_args()
    from sluice.run.recipe import load_recipe
    from sluice.run.conductor import run as carry_out
    carry_out(load_recipe(Path(args.recipe)), only=args.only, listener=print)

if __name__ == "__main__":
    main()
