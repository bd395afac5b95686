"""The JAX backend: an implementation of `phosphene.backend`."""

from __future__ import annotations

from phosphene_jax.backend import JaxBackend

__all__ = ["backend"]

backend = JaxBackend()
