"""A stand-in for the parts of SageMaker that a Nova pipeline uses, served by the emulator."""
