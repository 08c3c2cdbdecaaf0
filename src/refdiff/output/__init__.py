"""Answers for many images, and answers in the formats of other tools."""
