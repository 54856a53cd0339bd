"""The whole application on one machine: emulator, SageMaker stand-in, small learner."""
