"""What `import pwm_bench as pb` offers; see docs/python.md."""
