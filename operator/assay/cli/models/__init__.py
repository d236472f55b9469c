"""The commands for models, versions and aliases: approve, promote, roll back and explain."""
