"""The handlers of the endpoint, one module a resource. Each module has `ROUTES`."""
