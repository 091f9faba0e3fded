"""All writers of images in one place."""

from CardiacFusionLib.io.image_file import write_volume
from CardiacFusionLib.io.series_file import write_series

__all__ = ["write_series", "write_volume"]
