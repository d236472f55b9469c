"""The command line `assay`, also available as `kubectl assay`.

It talks directly to the API server with the user's kubeconfig and to the store with the user's keys. ``app`` has the
table of commands; each command is a module, imported only when it runs, because `assay --help` and completion must be
fast.
"""
