"""From a purchase and coupon history to a model artefact with its card."""
