"""What an experiment is: its spec, its record, and the one function that moves it on."""
