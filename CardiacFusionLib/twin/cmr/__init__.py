"""The first-pass CMR of a twin: plan, slices, series, training slices."""
