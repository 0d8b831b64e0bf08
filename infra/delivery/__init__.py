"""Turns a checkout into a running system: bundles, image, first deploy, staging, release; and says what is lacking."""
