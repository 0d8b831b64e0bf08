# The training function: HTTP, private, called by the weekly job.

resource "google_service_account" "train" {
  account_id   = "${var.name}-train"
  display_name = "${var.name}: trains"
  depends_on   = [google_project_service.api]
}

# Builds both functions from their bundles.
resource "google_service_account" "build" {
  account_id   = "${var.name}-build"
  display_name = "${var.name}: builds functions"
  depends_on   = [google_project_service.api]
}

# Build-time code, that of every dependency too, runs as this account. It may write its log, push to the one repository and
# read the functions' sources: no model, no pointer and no state.
resource "google_project_iam_member" "build" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

resource "google_artifact_registry_repository_iam_member" "build_pushes" {
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

# Cloud Functions hands a build the sources from our bucket, or from its own copy of them.
resource "google_project_iam_member" "build_reads_sources" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member
  condition {
    title      = "the functions' sources"
    expression = "resource.name.startsWith(\"projects/_/buckets/${local.bucket}-sources/\") || resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${var.region}/\")"
  }
}

resource "google_cloudfunctions2_function" "train" {
  name        = "${var.name}-train"
  location    = var.region
  description = "Searches ten algorithms, exports the best and publishes it as a candidate."
  depends_on  = [terraform_data.grants_have_spread]

  build_config {
    runtime         = "python311"
    entry_point     = "train"
    service_account = google_service_account.build.id
    # With its clean-up; by itself Cloud Functions makes gcf-artifacts, which keeps every image for good.
    docker_repository = google_artifact_registry_repository.images.id
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = google_storage_bucket_object.bundle["train"].name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.train.email
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
        TRAIN_BUDGET_SECONDS = tostring(var.train_budget_seconds)
      },
      var.mlflow_tracking_uri == "" ? {} : { MLFLOW_TRACKING_URI = var.mlflow_tracking_uri },
    )
  }
}
