# The weekly POST: to the training function with a token for it alone, or to Cloud Run's API, which starts the job
# (https://cloud.google.com/run/docs/execute/jobs-on-schedule).

resource "google_cloud_run_v2_service_iam_member" "scheduler_calls_train" {
  count    = local.train_is_job ? 0 : 1
  location = var.region
  name     = google_cloudfunctions2_function.train[0].name
  role     = "roles/run.invoker"
  member   = local.accounts.scheduler.member
}

resource "google_cloud_run_v2_job_iam_member" "scheduler_runs_train" {
  count    = local.train_is_job ? 1 : 0
  location = var.region
  name     = google_cloud_run_v2_job.train[0].name
  role     = "roles/run.invoker"
  member   = local.accounts.scheduler.member
}

locals {
  train_uri = (local.train_is_job
    ? "https://run.googleapis.com/v2/projects/${var.project}/locations/${var.region}/jobs/${google_cloud_run_v2_job.train[0].name}:run"
  : google_cloudfunctions2_function.train[0].service_config[0].uri)
}

resource "google_cloud_scheduler_job" "train" {
  name        = "${var.name}-train-weekly"
  description = "Trains; the same data, spec and code again are answered without training."
  region      = var.region
  schedule    = var.train_schedule
  time_zone   = "Etc/UTC"
  # A function answers when the run is done, Cloud Run's API as soon as the job has begun.
  attempt_deadline = local.train_is_job ? "180s" : "${var.train_attempt_deadline_seconds}s"
  depends_on = [
    google_cloud_run_v2_service_iam_member.scheduler_calls_train, google_cloud_run_v2_job_iam_member.scheduler_runs_train,
  ]

  # The lease of a run that was killed lasts 60 s: a retry before that is told that the run is under way.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "90s"
    max_backoff_duration = "600s"
    max_doublings        = 3
  }

  http_target {
    http_method = "POST"
    uri         = local.train_uri
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode("{}")

    dynamic "oidc_token" {
      for_each = local.train_is_job ? [] : [local.train_uri]
      content {
        service_account_email = local.accounts.scheduler.email
        audience              = oidc_token.value
      }
    }

    # Google's own APIs take no identity token (https://cloud.google.com/scheduler/docs/http-target-auth).
    dynamic "oauth_token" {
      for_each = local.train_is_job ? ["https://www.googleapis.com/auth/cloud-platform"] : []
      content {
        service_account_email = local.accounts.scheduler.email
        scope                 = oauth_token.value
      }
    }
  }
}
