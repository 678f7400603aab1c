"""Training of the network: variation of cases, the loop, checkpoints. Needs torch and monai."""
