"""CardiacFusion: CT coronary angiography and stress perfusion CMR of one heart in one picture.

A research tool, not for clinical use. The rooms and their one-way imports are described in ``Docs/design.md``.
"""

__version__ = "0.1.0"
