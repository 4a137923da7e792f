"""Benchmarks: how quick simulators and learners are on this machine, each checking its workload's result first."""
