"""MLflow's REST API on the pod's localhost: an unmodified MLflow script is recorded by it.

A request is validated, applied to the state in memory, appended to a journal in the spool, and only then
acknowledged. The collector reads the journal: what a client was told is recorded arrives in the record exactly once.
Reads are answered from the state and from the files of the pod, because a run's store credentials can only write.

The training is not trusted: the endpoint listens on localhost only, sizes and counts are limited, and no path leads out
of the folder of artifacts.
"""
