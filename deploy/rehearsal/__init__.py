"""`make rehearse`: the stack of docker-compose.yml on one machine, without a container engine."""
