"""A study as one HTML file that needs nothing else: tables, interactive curves, failures, provenance, pictures.

docs/report.md describes the page for its readers.
"""
