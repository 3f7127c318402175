"""Which items are routed: all that could matter, found without routing every one."""
