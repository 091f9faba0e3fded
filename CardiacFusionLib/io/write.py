"""All writers of images in one place."""

from CardiacFusionLib.io.dicom_write import write_dicom_ct, write_dicom_perfusion
from CardiacFusionLib.io.image_file import write_volume
from CardiacFusionLib.io.series_file import write_series

__all__ = ["write_dicom_ct", "write_dicom_perfusion", "write_series", "write_volume"]
