# The weekly POST, with a token for the training function alone.

resource "google_cloud_run_v2_service_iam_member" "scheduler_calls_train" {
  location = var.region
  name     = google_cloudfunctions2_function.train.name
  role     = "roles/run.invoker"
  member   = local.accounts.scheduler.member
}

resource "google_cloud_scheduler_job" "train" {
  name             = "${var.name}-train-weekly"
  description      = "Trains; the same data, spec and code again are answered without training."
  region           = var.region
  schedule         = var.train_schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "${var.train_attempt_deadline_seconds}s"
  depends_on       = [google_cloud_run_v2_service_iam_member.scheduler_calls_train]

  # The lease of a run that was killed lasts 60 s: a retry before that is told that the run is under way.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "90s"
    max_backoff_duration = "600s"
    max_doublings        = 3
  }

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.train.service_config[0].uri
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode("{}")

    oidc_token {
      service_account_email = local.accounts.scheduler.email
      audience              = google_cloudfunctions2_function.train.service_config[0].uri
    }
  }
}
