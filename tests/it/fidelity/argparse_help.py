# args: --help
import argparse

parser = argparse.ArgumentParser(description="Copies files.", epilog="That is all.")
parser.add_argument("source", help="what to copy")
parser.add_argument("--count", type=int, default=1, help="how often (default: %(default)s)")
parser.parse_args()
