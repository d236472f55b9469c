"""Output formats: tables, documents, plots and files. Makes no requests."""
