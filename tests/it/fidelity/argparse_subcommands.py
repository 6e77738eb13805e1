# args: add --scale 2 3 4
import argparse

parser = argparse.ArgumentParser(prog="calculate")
commands = parser.add_subparsers(dest="command", required=True)
add = commands.add_parser("add")
add.add_argument("--scale", type=float, default=1.0)
add.add_argument("numbers", type=int, nargs="+")
args = parser.parse_args()
print(args)
print(sum(args.numbers) * args.scale)
