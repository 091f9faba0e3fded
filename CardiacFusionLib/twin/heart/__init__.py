"""The parametric heart and chest: shapes, layers, tissues at any point of the heart frame."""
