"""The stand-in for Bedrock: custom models, their deployments, and the runtime that asks them."""
