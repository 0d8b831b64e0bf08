"""The local Cloud Scheduler: jobs, their times and their executions. Started by `scheduler.py`."""
