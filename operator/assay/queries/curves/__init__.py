"""Questions about curves: the points of metrics, smoothed and thinned."""
