"""The command line: ``cardiacfusion …``. Thin: reads arguments, calls the pipeline, turns errors into exit codes."""

from CardiacFusionLib.cli.app import main

__all__ = ["main"]
