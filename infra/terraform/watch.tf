# The watch: files of labels and alarms come as the bucket's events, and once a day Cloud Scheduler asks for a look at what
# was asked. It sees the event of every object, as validation does, and acts on those two kinds.

resource "google_cloud_run_v2_service_iam_member" "call_watch" {
  for_each = { events = local.accounts.events.member, scheduler = local.accounts.scheduler.member }
  location = var.region
  name     = google_cloudfunctions2_function.watch.name
  role     = "roles/run.invoker"
  member   = each.value
}

resource "google_cloudfunctions2_function" "watch" {
  name        = "${var.name}-watch"
  location    = var.region
  description = "Compares live rows with training's, labels with what was promised; raises alarms."

  build_config {
    runtime           = "python311"
    entry_point       = "watch"
    service_account   = local.accounts.build.id
    docker_repository = module.names.repository.id
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = google_storage_bucket_object.bundle["watch"].name
      }
    }
  }

  # A file of labels of 256 MB is read whole.
  service_config {
    service_account_email            = local.accounts.watch.email
    timeout_seconds                  = 540
    available_cpu                    = "1"
    available_memory                 = "2Gi"
    min_instance_count               = 0
    max_instance_count               = var.watch_max_instances
    max_instance_request_concurrency = 1
    ingress_settings                 = "ALLOW_INTERNAL_ONLY" # Eventarc and Cloud Scheduler of this project are
    all_traffic_on_latest_revision   = true
    environment_variables = {
      BUCKET               = google_storage_bucket.pipeline.name
      DEADLINE_SECONDS     = "500" # no new storage call later than this; the next delivery goes on from there
      LOG_LEVEL            = "INFO"
      GOOGLE_CLOUD_PROJECT = var.project
      RETRAIN_JOB          = "projects/${var.project}/locations/${var.region}/jobs/${google_cloud_scheduler_job.train.name}"
      ALARM_TOPIC          = "projects/${var.project}/topics/${google_pubsub_topic.alarms.name}"
    }
  }

  event_trigger {
    trigger_region        = var.region
    event_type            = "google.cloud.storage.object.v1.finalized"
    retry_policy          = "RETRY_POLICY_RETRY"
    service_account_email = local.accounts.events.email
    event_filters {
      attribute = "bucket"
      value     = google_storage_bucket.pipeline.name
    }
  }
}

# The daily call is an event too, in CloudEvents' structured form: the function has one way in.
resource "google_cloud_scheduler_job" "watch" {
  name             = "${var.name}-watch-daily"
  description      = "Looks at yesterday's rows; a day that was looked at already is completed and not looked at again."
  region           = var.region
  schedule         = var.watch_schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "600s"
  depends_on       = [google_cloud_run_v2_service_iam_member.call_watch]

  retry_config {
    retry_count          = 3
    min_backoff_duration = "60s"
    max_backoff_duration = "600s"
    max_doublings        = 3
  }

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.watch.service_config[0].uri
    headers     = { "Content-Type" = "application/cloudevents+json" }
    body = base64encode(jsonencode({
      specversion = "1.0"
      id          = "daily"
      source      = "//cloudscheduler.googleapis.com"
      type        = "watch.look.v1"
      data        = {}
    }))

    oidc_token {
      service_account_email = local.accounts.scheduler.email
      audience              = google_cloudfunctions2_function.watch.service_config[0].uri
    }
  }
}

# Every alarm's JSON, for chat and pagers: whoever wants them makes a subscription of their own.
resource "google_pubsub_topic" "alarms" {
  name                       = "${var.name}-alarms"
  message_retention_duration = "604800s"
}

resource "google_pubsub_topic_iam_member" "alarms" {
  topic  = google_pubsub_topic.alarms.id
  role   = "roles/pubsub.publisher"
  member = local.accounts.watch.member
}
