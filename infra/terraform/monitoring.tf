# What needs a person, told once, with what to do. The filters match the fields that the functions log.

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  # A policy is told of by channels of its own project.
  production_channels = module.names.production.separate ? [for channel in google_monitoring_notification_channel.production : channel.id] : local.channels
  runbook             = var.runbook_url == "" ? "See \"When an alert comes\" in infra/README.md." : "[When an alert comes](${var.runbook_url}#when-an-alert-comes)"

  # The functions' own lines, by the name of their log: the platform's request log has the same resource, and counts every
  # 5xx that heals by itself as an ERROR.
  own_log       = "logName = \"projects/${var.project}/logs/run.googleapis.com%2Fstderr\""
  own_lines     = "${local.own_log} AND resource.type = \"cloud_run_revision\""
  train_logs    = local.train_is_job ? "${local.own_log} AND resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${google_cloud_run_v2_job.train[0].name}\"" : "${local.own_lines} AND resource.labels.service_name = \"${google_cloudfunctions2_function.train[0].name}\""
  validate_logs = "${local.own_lines} AND resource.labels.service_name = \"${module.validate.name}\""

  batch_logs = "${local.own_lines} AND resource.labels.service_name = \"${module.batch.name}\""

  watch_logs = "${local.own_lines} AND resource.labels.service_name = \"${module.watch.name}\""

  log_alerts = {
    training-failed = {
      title         = "${var.name}: training failed"
      resource_type = local.train_is_job ? "cloud_run_job" : "cloud_run_revision"
      filter        = "${local.train_logs} AND severity >= ERROR"
      documentation = "A training run ended without a candidate; what serves goes on serving. `reason` of the log line says why: `invalid_dataset` lists every problem of the table by row, `no_selectable_model` every algorithm's."
    }
    training-attempt-failed = {
      title         = "${var.name}: the weekly job got no answer or an error"
      resource_type = "cloud_scheduler_job"
      filter        = "resource.type = \"cloud_scheduler_job\" AND resource.labels.job_id = \"${var.name}-train-weekly\" AND severity >= ERROR"
      documentation = local.train_is_job ? "Cloud Scheduler could not start the training job: Cloud Run's API refused the call or did not answer. It tries again three times; `make retrain` starts it now." : "Cloud Scheduler's call of the training function failed: the run was killed (memory, time), refused the table, or never started. The job tries again three times; `make retrain` runs it now."
    }
    gate-failed = {
      title         = "${var.name}: a candidate was refused"
      resource_type = "cloud_run_revision"
      filter        = "${local.validate_logs} AND severity >= ERROR AND jsonPayload.stage = \"staging\""
      documentation = "The gate refused a candidate, or could not read it; staging goes on serving what it served. `failed_checks` of the log line names the checks, `candidates/<run_id>/decision.json` says what each saw."
    }
    marker-refused = {
      title         = "${var.name}: a promotion to production was refused"
      resource_type = "cloud_run_revision"
      filter        = "${local.validate_logs} AND severity >= ERROR AND jsonPayload.stage = \"production\""
      documentation = "A promotion marker was refused; production goes on serving what it served. `promote/production.rejected.json` says why."
    }
    batch-refused = {
      title         = "${var.name}: a file was not answered"
      resource_type = "cloud_run_revision"
      filter        = "${local.batch_logs} AND severity >= ERROR"
      documentation = "A file below batch/in/ was refused as a whole, or the batch function cannot work. `rejected.json` beside where its answer would be lists every problem, `errors.jsonl` the rows."
    }
    watch-alarm = {
      title         = "${var.name}: the model may not be right any more"
      resource_type = "cloud_run_revision"
      filter        = "${local.watch_logs} AND severity >= ERROR AND jsonPayload.key : *"
      documentation = "Live rows differ from those of training, labels from what was promised, or callers are refused, failed or gone. `reason` and `subject` of the log line say which, the page `watch/<stage>/index.html` shows both sides, `make status` what to do. Where new data may end it, a training was asked for: at most one a day, through the gate to staging, never to production."
    }
    watch-broken = {
      title         = "${var.name}: a file of labels was refused, or the watch cannot work"
      resource_type = "cloud_run_revision"
      filter        = "${local.watch_logs} AND severity >= ERROR AND NOT jsonPayload.key : *"
      documentation = "`labels/<name>.rejected.json` beside a refused file lists every problem by line. Anything else is a fault of the watch itself: wrong settings, a damaged run, an event that is none."
    }
    validation-broken = {
      title         = "${var.name}: validation cannot work"
      resource_type = "cloud_run_revision"
      filter        = "${local.validate_logs} AND severity >= ERROR AND NOT jsonPayload.stage : *"
      documentation = "The validation function fails before it can decide anything: wrong settings, or an event that is none. Events are kept and tried again for a day."
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  count        = var.notification_email == "" ? 0 : 1
  display_name = "${var.name}: ${var.notification_email}"
  type         = "email"
  labels       = { email_address = var.notification_email }
}

# The alerts on what production serves are where its metrics are.
resource "google_monitoring_notification_channel" "production" {
  count        = var.notification_email != "" && module.names.production.separate ? 1 : 0
  project      = local.production_project
  display_name = "${var.name}: ${var.notification_email}"
  type         = "email"
  labels       = { email_address = var.notification_email }
}

module "log_alert" {
  source        = "./modules/log_alert"
  for_each      = local.log_alerts
  name          = "${var.name}-${each.key}"
  title         = each.value.title
  filter        = each.value.filter
  resource_type = each.value.resource_type
  documentation = "${each.value.documentation}\n\n${local.runbook}"
  channels      = local.channels
}

# "No successful training in 8 days" cannot be asked directly: an absence is seen for at most 23.5 hours. What makes it true
# is asked instead: a run that fails (above), a call that fails (above), or a job that no longer calls (here).
resource "google_monitoring_alert_policy" "job_stopped" {
  display_name          = "${var.name}: the weekly training was paused or deleted"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  conditions {
    display_name = "the job was paused or deleted"
    condition_matched_log {
      filter = "log_id(\"cloudaudit.googleapis.com/activity\") AND protoPayload.serviceName = \"cloudscheduler.googleapis.com\" AND protoPayload.methodName =~ \"CloudScheduler\\.(PauseJob|DeleteJob)$\" AND protoPayload.resourceName =~ \"/jobs/${var.name}-train-weekly$\""
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
    auto_close = "86400s"
  }

  documentation {
    subject   = "${var.name}: no training until the weekly job is resumed"
    mime_type = "text/markdown"
    content   = "Somebody paused or deleted the weekly job: models grow old and nobody is told. `gcloud scheduler jobs resume ${var.name}-train-weekly --location ${var.region}`, or `make deploy` where it was deleted.\n\n${local.runbook}"
  }
}

# ---- figures above a threshold ---------------------------------------------------------------------------------------

locals {
  alerts = {
    # What the platform answers for a function (out of memory, ended, not started) heals by itself as a rule, since events and
    # the job are tried again. So it is a rate that is told, not one failure.
    platform = {
      title         = "${var.name}: validation fails again and again"
      condition     = "more than 10 failed deliveries in an hour"
      filter        = "metric.type = \"run.googleapis.com/request_count\" AND resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${module.validate.name}\" AND metric.labels.response_code_class = \"5xx\""
      above         = 10
      period        = "3600s"
      reducer       = "REDUCE_SUM"
      auto_close    = "86400s"
      documentation = "Events are delivered again for a day, so nothing is lost yet. The function's log says whether it ran out of memory, could not reach storage, or lacks a permission.\n\n${local.runbook}"
    }

    undelivered = {
      title         = "${var.name}: events were given up"
      condition     = "events in the dead letter topic"
      filter        = "metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.undelivered.name}\""
      aligner       = "ALIGN_MAX"
      documentation = "Validation failed on an event until it was given up. Nothing is lost: copy the manifest or the marker onto itself to send the event again, as the runbook says.\n\n${local.runbook}"
    }
  }

  # A job has no caller that sees it die. An execution counts as failed once its last try has
  # (https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-run).
  job_alerts = local.train_is_job ? {
    training-job = {
      title         = "${var.name}: the training job failed"
      condition     = "an execution failed"
      filter        = "metric.type = \"run.googleapis.com/job/completed_execution_count\" AND resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${google_cloud_run_v2_job.train[0].name}\" AND metric.labels.result = \"failed\""
      reducer       = "REDUCE_SUM"
      auto_close    = "86400s"
      documentation = "Every try of an execution ended early: out of memory (`train_memory_gib`), out of time (`train_job_timeout_seconds`), or with an error that the log names. What serves goes on serving; `make retrain` starts it again.\n\n${local.runbook}"
    }
  } : {}

  production_alerts = {
    errors = {
      title         = "${var.name}: production answers with errors"
      severity      = "CRITICAL"
      condition     = "more than 1 % of the answers are 5xx"
      filter        = "metric.type = \"run.googleapis.com/request_count\" AND resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${module.predict["production"].name}\" AND metric.labels.response_code_class = \"5xx\""
      denominator   = "metric.type = \"run.googleapis.com/request_count\" AND resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${module.predict["production"].name}\""
      above         = 0.01
      lasting       = "300s"
      reducer       = "REDUCE_SUM"
      documentation = "`/meta` says which model serves and whether its last look at the bucket failed; the service's log has a line for each failure. `make rollback` if it began with a promotion.\n\n${local.runbook}"
    }

    latency = {
      title         = "${var.name}: production is slow"
      severity      = "WARNING"
      condition     = "p99 above ${var.latency_p99_ms} ms"
      filter        = "metric.type = \"run.googleapis.com/request_latencies\" AND resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${module.predict["production"].name}\""
      above         = var.latency_p99_ms
      lasting       = "600s"
      reducer       = "REDUCE_PERCENTILE_99"
      documentation = "Cold starts (set `predict_min_instances = 1`), large batches beside single requests, or more load than `predict_max_instances` carries.\n\n${local.runbook}"
    }
  }
}

module "alert" {
  source   = "./modules/threshold_alert"
  for_each = merge(local.alerts, local.job_alerts)
  channels = local.channels
  alert    = each.value
}

module "production_alert" {
  source   = "./modules/threshold_alert"
  for_each = merge(local.production_alerts, local.down_alerts)
  project  = local.production_project
  channels = local.production_channels
  alert    = each.value
}
