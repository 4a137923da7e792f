"""Figures for print: one style, fixed colours for algorithms, and drawing functions that take numbers, not files.

Modules are imported on their own, since matplotlib is slow to import.
"""
