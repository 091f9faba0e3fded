"""What the scene is built from: the same content as the report's (``report/content.py`` holds it, so that the report
need not import the scene)."""

from CardiacFusionLib.report.content import CaseContent, RunInfo

__all__ = ["CaseContent", "RunInfo"]
