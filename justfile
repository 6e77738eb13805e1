# What CI runs, exactly.
ci:
    bash .ci/run

# Installs what tests need and runs them; arguments filter.
test *filter:
    tests/run {{filter}}

# Files that have grown long, worth a look.
lines:
    @git ls-files '*.rs' | xargs wc -l | sort -rn | awk '$1 > 400 && $2 != "total"'

# Figures beside the targets.
bench:
    cargo run --release -- bench
