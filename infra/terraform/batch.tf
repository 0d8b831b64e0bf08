# The batch function: a file that is dropped below batch/in/ is answered below batch/out/. It sees the event of every object,
# as validation does, and acts on those of its own folder.

resource "google_cloud_run_v2_service_iam_member" "events_call_batch" {
  location = var.region
  name     = google_cloudfunctions2_function.batch.name
  role     = "roles/run.invoker"
  member   = local.accounts.events.member
}

resource "google_cloudfunctions2_function" "batch" {
  name        = "${var.name}-batch"
  location    = var.region
  description = "Answers files of rows with the model of a stage, part by part."

  build_config {
    runtime           = "python311"
    entry_point       = "batch"
    service_account   = local.accounts.build.id
    docker_repository = module.names.repository.id
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = google_storage_bucket_object.bundle["batch"].name
      }
    }
  }

  # Two processors: one piece is answered on each, while the next one is read. Memory does not depend on the file.
  service_config {
    service_account_email            = local.accounts.batch.email
    timeout_seconds                  = 540
    available_cpu                    = "2"
    available_memory                 = "2Gi"
    min_instance_count               = 0
    max_instance_count               = var.batch_max_instances
    max_instance_request_concurrency = 1
    ingress_settings                 = "ALLOW_INTERNAL_ONLY"
    all_traffic_on_latest_revision   = true
    environment_variables = {
      BUCKET               = google_storage_bucket.pipeline.name
      STAGE                = "production" # unless the file says another
      BATCH_TOLERATE       = tostring(var.batch_tolerate)
      BATCH_THREADS        = "2"
      DEADLINE_SECONDS     = "500" # no new storage call later than this; the next delivery goes on from there
      LOG_LEVEL            = "INFO"
      GOOGLE_CLOUD_PROJECT = var.project
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
