"""`assay`, the command line, also as `kubectl assay`: what people read, compare and decide, with their own rights.

It talks to the API server with the user's kubeconfig and to the store with the user's keys; no server stands between.
``commands`` has the signatures, thin and cheap to import; the modules beside it do the work and are imported by the
command that needs them, because `assay --help` and completion have to be quick.
"""
