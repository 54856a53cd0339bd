"""What each runtime is asked for: jobs, customizations, deployments."""
