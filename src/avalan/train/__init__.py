"""Training: recipes, and what turns one into a model."""

import logging

# It comes along with the trainer, and on some processors asks for kernels that nothing here uses.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
