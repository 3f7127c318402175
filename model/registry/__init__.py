"""What Redis holds about published models: keys, states, events and runs."""
