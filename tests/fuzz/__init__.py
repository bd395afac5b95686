"""Input that nobody wrote on purpose: damaged files and odd calls."""
