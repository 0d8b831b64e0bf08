"""From a checkout to a running system: bundles, image, staging, release, first deploy, and what a machine lacks."""
