"""What training writes and the service reads: numpy and pydantic only, never torch or redis."""
