"""The whole product on one machine: data, an embedded server, training and the service."""
