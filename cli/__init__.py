"""The `novaloop` command."""
