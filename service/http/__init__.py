"""Middleware, problem answers and static pages."""
