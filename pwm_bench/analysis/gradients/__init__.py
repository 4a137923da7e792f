"""Tables and figures of gradient comparisons."""
