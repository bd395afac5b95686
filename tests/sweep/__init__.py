"""A sweep over architectures as people publish them: what of phosphene works on each, against hooks of the suite's own."""
