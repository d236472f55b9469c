"""The limits of records, shared by the code that writes them and the code that reads them. Imports nothing."""

MAX_METRICS = 1000  # in a summary; more metrics are recorded, but not summarised
MAX_WANTED_METRICS = 200  # that are summarised in addition, because a gate or an objective needs them
MAX_METRIC_NAME_CHARS = 200
MAX_REFUSED = 50  # metrics of which a value was not a number, in a summary
MAX_LOGGED = 500  # parameters, and as many tags, that the training code logged
MAX_LOGGED_CHARS = 1000  # of one of their values
MAX_WARNINGS = 20
MAX_TEXT_CHARS = 500  # a warning, a reason
MAX_KEY_BYTES = 1024  # limit of S3
MAX_FILES = 200_000  # in a manifest
MAX_RUN_FILES = 100_000  # default maximum number of artifacts of one pod
MAX_RUN_BYTES = 1 << 40  # default maximum size of the artifacts of one pod
MAX_MLFLOW_POINTS = 2_000_000  # default maximum number of points that MLflow clients can read back in their pod
MAX_MISSING = 1000
MAX_PODS = 10_000
MAX_SUMMARY_BYTES = 2 << 20
MAX_DATASETS = 64  # per run
MAX_DATASETS_BYTES = 1 << 20
MAX_GAPS = 100  # reported per log
MAX_GAPS_BYTES = 1 << 20
MAX_MANIFEST_BYTES = 128 << 20
MAX_PACKAGES = 3000  # per environment
MAX_PREFIXES = 50
MAX_VARIABLES = 1000
MAX_ENVIRONMENT_BYTES = 4 << 20
