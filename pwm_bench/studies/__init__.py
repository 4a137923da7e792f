"""Named studies: graphs of specs that a sweep carries out, and studies that a file describes."""
