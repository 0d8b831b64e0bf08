# Training: a private HTTP function, or a Cloud Run job (train_as) where half an hour does not do. The same code either way,
# under the same account.

locals {
  train_is_job    = var.train_as == "job"
  train_retries   = 2                                          # by the platform, of a job's task; the function is called again by Cloud Scheduler
  job_placeholder = "us-docker.pkg.dev/cloudrun/container/job" # prints a line and ends

  train_environment = merge(
    {
      BUCKET               = google_storage_bucket.pipeline.name
      DATASET              = "gs://${google_storage_bucket.pipeline.name}/${var.dataset}"
      GIT_SHA              = var.git_sha
      MEMORY_MIB           = tostring(var.train_memory_gib * 1024)
      TRAIN_BUDGET_SECONDS = tostring(var.train_budget_seconds)
    },
    var.mlflow_tracking_uri == "" ? {} : { MLFLOW_TRACKING_URI = var.mlflow_tracking_uri },
    # On machines that the run makes (owner/search.tf); the processors of the job finish what they found.
    local.on_machines ? {
      TRAIN_BACKEND        = "dask"
      DASK_ADDRESS         = "tcp://${module.names.search.scheduler}:8786"
      DASK_WORKERS         = tostring(var.search_machines)
      DASK_MACHINES        = module.names.search.name
      DASK_ZONE            = module.names.search.zone
      GOOGLE_CLOUD_PROJECT = var.project
    } : {},
  )
  on_machines = var.search_machines > 0
}

resource "google_cloudfunctions2_function" "train" {
  count       = local.train_is_job ? 0 : 1
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
    environment_variables            = local.train_environment
  }
}

resource "google_cloud_run_v2_job" "train" {
  count               = local.train_is_job ? 1 : 0
  name                = "${var.name}-train"
  location            = var.region
  deletion_protection = false # it holds nothing: what a run leaves is in the bucket

  template {
    task_count = 1
    template {
      service_account = local.accounts.train.email
      timeout         = "${var.train_job_timeout_seconds}s"
      # A task that ends with an error, or that the platform ends, begins again; a table that is refused is no error.
      max_retries           = local.train_retries
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"

      dynamic "vpc_access" {
        for_each = local.on_machines ? [module.names.search.name] : []
        content {
          egress = "PRIVATE_RANGES_ONLY"
          network_interfaces {
            network    = vpc_access.value
            subnetwork = vpc_access.value
          }
        }
      }

      containers {
        image = local.job_placeholder

        resources {
          limits = { cpu = tostring(var.train_cpu), memory = "${var.train_memory_gib}Gi" }
        }

        dynamic "env" {
          for_each = local.train_environment
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }

  # The delivery moves the image; a plan must not move it back.
  lifecycle {
    ignore_changes = [client, client_version, template[0].template[0].containers[0].image]
  }
}
