"""From values to points: shared by the recorder and by the operator, which reads the metrics that containers print."""
