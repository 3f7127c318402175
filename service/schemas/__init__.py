"""Bodies of requests and answers, and errors."""
