# What was deployed under another address is moved to the one of now, and not made anew.

moved {
  from = google_cloudfunctions2_function.validate
  to   = module.validate.google_cloudfunctions2_function.this
}

moved {
  from = google_cloud_run_v2_service_iam_member.events_call_validate
  to   = module.validate.google_cloud_run_v2_service_iam_member.events_call
}

moved {
  from = google_cloudfunctions2_function.batch
  to   = module.batch.google_cloudfunctions2_function.this
}

moved {
  from = google_cloud_run_v2_service_iam_member.events_call_batch
  to   = module.batch.google_cloud_run_v2_service_iam_member.events_call
}

moved {
  from = google_cloudfunctions2_function.watch
  to   = module.watch.google_cloudfunctions2_function.this
}

moved {
  from = google_cloud_run_v2_service_iam_member.call_watch["events"]
  to   = module.watch.google_cloud_run_v2_service_iam_member.events_call
}

moved {
  from = google_cloud_run_v2_service_iam_member.call_watch["scheduler"]
  to   = google_cloud_run_v2_service_iam_member.scheduler_calls_watch
}

moved {
  from = google_monitoring_slo.availability["production"]
  to   = google_monitoring_slo.production["availability"]
}

moved {
  from = google_monitoring_slo.latency["production"]
  to   = google_monitoring_slo.production["latency"]
}

moved {
  from = google_monitoring_alert_policy.down["production"]
  to   = module.down_alert["production"].google_monitoring_alert_policy.this
}

moved {
  from = google_monitoring_alert_policy.training_job[0]
  to   = module.job_alert[0].google_monitoring_alert_policy.this
}

moved {
  from = google_monitoring_alert_policy.platform
  to   = module.alert["platform"].google_monitoring_alert_policy.this
}

moved {
  from = google_monitoring_alert_policy.undelivered
  to   = module.alert["undelivered"].google_monitoring_alert_policy.this
}

moved {
  from = google_monitoring_alert_policy.errors
  to   = module.production_alert["errors"].google_monitoring_alert_policy.this
}

moved {
  from = google_monitoring_alert_policy.latency
  to   = module.production_alert["latency"].google_monitoring_alert_policy.this
}

moved {
  from = module.job_alert[0]
  to   = module.alert["training-job"]
}

moved {
  from = module.down_alert["production"]
  to   = module.production_alert["down"]
}
