"""The coronary tree of a twin: its bed in the grooves, branches, plaques."""
