"""Volume, Series, HeartPose, planes, resampling: geometry in LPS millimetres and the heart frame."""
