"""`novaloop doctor`: what would keep an experiment from running in this account, and what to do."""
