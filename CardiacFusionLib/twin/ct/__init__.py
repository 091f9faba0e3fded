"""The CT of a twin: look of tissues, scanner, rendering on any grid, training cubes."""
