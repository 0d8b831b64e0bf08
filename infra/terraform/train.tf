# The training function: HTTP, private, called by the weekly job.

resource "google_cloudfunctions2_function" "train" {
  name        = "${var.name}-train"
  location    = var.region
  description = "Searches ten algorithms, exports the best and publishes it as a candidate."

  build_config {
    runtime         = "python311"
    entry_point     = "train"
    service_account = local.accounts.build.id
    # With its clean-up; by itself Cloud Functions makes gcf-artifacts, which keeps every image for good.
    docker_repository = module.names.repository.id
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = google_storage_bucket_object.bundle["train"].name
      }
    }
  }

  service_config {
    service_account_email            = local.accounts.train.email
    timeout_seconds                  = 3600
    available_cpu                    = tostring(var.train_cpu)
    available_memory                 = "${var.train_memory_gib}Gi"
    min_instance_count               = 0
    max_instance_count               = 2 # one trains; a call meanwhile is told so
    max_instance_request_concurrency = 1
    ingress_settings                 = "ALLOW_INTERNAL_ONLY" # Cloud Scheduler counts as internal
    all_traffic_on_latest_revision   = true
    environment_variables = merge(
      {
        BUCKET               = google_storage_bucket.pipeline.name
        DATASET              = "gs://${google_storage_bucket.pipeline.name}/${var.dataset}"
        GIT_SHA              = var.git_sha
        MEMORY_MIB           = tostring(var.train_memory_gib * 1024)
        TRAIN_BUDGET_SECONDS = tostring(var.train_budget_seconds)
      },
      var.mlflow_tracking_uri == "" ? {} : { MLFLOW_TRACKING_URI = var.mlflow_tracking_uri },
    )
  }
}
