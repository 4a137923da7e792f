"""The record of every run: its schema, its place on disk, and the statistics and tables made from it.

Modules are imported on their own (``from pwm_bench.store.results import Results``): the store needs no more than the
standard library, so that asking what is done stays quick.
"""
