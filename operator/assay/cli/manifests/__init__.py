"""The commands for manifests: init, validate, export and restore."""
