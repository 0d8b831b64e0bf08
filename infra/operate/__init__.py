"""The commands of people who operate a deployment, the local cloud or the real one."""
