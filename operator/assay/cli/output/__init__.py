"""How answers look: tables, documents, plots and files. Asks nothing itself."""
