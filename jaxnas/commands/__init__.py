"""The commands, a file each: ``run(options, rest)`` returns the exit status; ``rest`` are the experiment's settings."""
