"""The web application on the reading layer: JSON API, pages and MLflow's reading half.

It runs as `assay ui` on 127.0.0.1 with the user's kubeconfig, and as the Deployment `assay-server` with each user's
token. It never reads or writes an object in its own name.
"""
