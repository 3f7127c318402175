"""What Redis holds about published models: keys, versions, events and runs."""
