"""The pages that people see, /n/{namespace}/…: HTML made on the server, with small scripts for charts and updates."""
