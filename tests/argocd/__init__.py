"""Argo CD's part, played in tests: its Lua, its ConfigMap, its syncs and the two ways in which it looks for drift."""
