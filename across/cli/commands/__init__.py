"""The subcommands: each module has SUMMARY, DETAILS, `add_arguments` and `run`."""
