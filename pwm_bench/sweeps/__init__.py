"""Studies carried out: what is to be done with each run of a graph, and the executors that do it side by side."""
