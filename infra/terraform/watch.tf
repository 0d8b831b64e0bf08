# The watch: files of labels and alarms come as the bucket's events, and once a day Cloud Scheduler asks for a look at what
# was asked. It sees the event of every object, as validation does, and acts on those two kinds.

module "watch" {
  source      = "./modules/event_function"
  name        = "watch"
  description = "Compares live rows with training's, labels with what was promised; raises alarms."
  common      = local.function_common

  memory        = "2Gi" # a file of labels of 256 MB is read whole
  max_instances = var.watch_max_instances
  environment = {
    RETRAIN_JOB = "projects/${var.project}/locations/${var.region}/jobs/${google_cloud_scheduler_job.train.name}"
    ALARM_TOPIC = "projects/${var.project}/topics/${google_pubsub_topic.alarms.name}"
  }
}

resource "google_cloud_run_v2_service_iam_member" "scheduler_calls_watch" {
  location = var.region
  name     = module.watch.name
  role     = "roles/run.invoker"
  member   = local.accounts.scheduler.member
}

# The daily call is an event too, in CloudEvents' structured form: the function has one way in.
resource "google_cloud_scheduler_job" "watch" {
  name             = "${var.name}-watch-daily"
  description      = "Looks at yesterday's rows; a day that was looked at already is completed and not looked at again."
  region           = var.region
  schedule         = var.watch_schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "600s"
  depends_on       = [google_cloud_run_v2_service_iam_member.scheduler_calls_watch]

  retry_config {
    retry_count          = 3
    min_backoff_duration = "60s"
    max_backoff_duration = "600s"
    max_doublings        = 3
  }

  http_target {
    http_method = "POST"
    uri         = module.watch.url
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
      audience              = module.watch.url
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
