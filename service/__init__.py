"""The online half: HTTP in, recommendations with per-expert contributions out. Free of torch."""
