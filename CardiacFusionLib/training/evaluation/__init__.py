"""Figures on unseen synthetic hearts, stage by stage, with the truth of the twin."""
