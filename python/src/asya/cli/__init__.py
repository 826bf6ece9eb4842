"""The command line.

Belongs here: options, output, exit codes. Does not belong here: the work itself. Each command is a module that is
imported only when it is asked for, so that `asya --help` answers at once.
"""
