"""One task in several simulators, side by side: what must agree, and how far the rest is apart."""
