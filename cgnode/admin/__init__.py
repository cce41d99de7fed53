"""cgctl, the administrator's command: ``main`` reads the command line, ``target`` opens what
it names, and one module for each group of commands does the work."""
