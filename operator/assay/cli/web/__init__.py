"""Commands around the web application."""
