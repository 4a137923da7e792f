"""Records on disk: their schema, their folders and locks, how they are read, verified, merged and exported.

Modules are imported on their own (``from pwm_bench.store.results import Results``). Asking what is done needs no more
than the standard library and stays quick; numpy, pandas and pydantic come with the module that needs them.
"""
