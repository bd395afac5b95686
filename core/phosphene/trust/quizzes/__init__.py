"""Quizzes that measure how well people predict the responses of a unit from its picture."""

from __future__ import annotations

from phosphene.trust.quizzes.call import quiz
from phosphene.trust.quizzes.result import Quiz

__all__ = ["Quiz", "quiz"]
