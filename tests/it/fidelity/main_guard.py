def main() -> int:
    print("in main")
    return 3

if __name__ == "__main__":
    raise SystemExit(main())
