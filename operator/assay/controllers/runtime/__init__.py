"""What runs the reconcilers: queue, caches, event handlers, leader election, events and status writes."""
