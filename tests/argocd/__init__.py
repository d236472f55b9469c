"""Argo CD in tests: its Lua, its ConfigMap, and repositories and Applications for a real one."""
