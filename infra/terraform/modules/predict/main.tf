# One Cloud Run service that serves one stage.

resource "google_cloud_run_v2_service" "this" {
  name                = var.name
  project             = var.project
  location            = var.region
  description         = "Predictions from ${var.stage}."
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = false # it holds nothing: the models are in the bucket
  # A binding for allUsers is refused where the organisation restricts sharing to its domains. This asks no caller who it is.
  invoker_iam_disabled = var.public

  scaling {
    min_instance_count = var.min_instances
  }

  template {
    service_account                  = var.service_account
    timeout                          = "60s"
    max_instance_request_concurrency = var.concurrency
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"

    scaling {
      max_instance_count = var.max_instances
    }

    containers {
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = "1", memory = "${var.memory_mib}Mi" }
        cpu_idle          = true # billed while it answers
        startup_cpu_boost = true
      }

      env {
        name  = "BUCKET"
        value = var.bucket
      }
      env {
        name  = "STAGE"
        value = var.stage
      }
      env {
        name  = "REFRESH_SECONDS"
        value = tostring(var.refresh_seconds)
      }
      env {
        name  = "ALLOWED_ORIGINS"
        value = join(",", var.allowed_origins)
      }
      env {
        name  = "MEMORY_MIB"
        value = tostring(var.memory_mib)
      }
      env {
        name  = "MAX_BODY_BYTES"
        value = tostring(var.max_body_bytes)
      }
      env {
        name  = "MAX_BATCH_ROWS"
        value = tostring(var.max_batch_rows)
      }

      # Loads and verifies the model: no request meets an instance that cannot answer.
      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 30
        http_get {
          path = "/ready"
        }
      }

      # A stage whose model goes bad keeps the one in hand, so this asks only whether the process lives.
      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/health"
        }
      }
    }
  }

  # The delivery moves images; a plan must not move them back.
  lifecycle {
    ignore_changes = [client, client_version, template[0].containers[0].image]
  }
}
