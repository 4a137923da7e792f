"""One run: one spec, one device, one run directory. Begin with `pwm_bench.runner.run.execute`.

Modules are imported on their own: `pwm_bench.runner.progress` is light, the rest brings torch.
"""
