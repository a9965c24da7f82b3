"""Which endpoints there are, and how each is reached: address, credential, models, prices."""
