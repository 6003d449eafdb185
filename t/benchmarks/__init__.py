"""Side-by-side benchmarks: this package against the published one, in one run, as ratios."""
