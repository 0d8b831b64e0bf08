# What must hold of every plan, whatever else changes. Run by tests/infra/test_terraform.py with the offline schema.

mock_provider "google" {}

variables {
  project        = "my-project"
  project_number = "123456789012"
  region         = "europe-west1"
  promoters      = ["user:ada@example.com"]
}

run "plan" {
  command = plan

  # storage
  assert {
    condition     = google_storage_bucket.pipeline.uniform_bucket_level_access && google_storage_bucket.pipeline.public_access_prevention == "enforced" && google_storage_bucket.sources.public_access_prevention == "enforced"
    error_message = "both buckets must have uniform access and enforced public access prevention"
  }
  assert {
    condition     = google_storage_bucket.pipeline.versioning[0].enabled && !google_storage_bucket.pipeline.force_destroy
    error_message = "the bucket must keep versions, and destroy must refuse to take it"
  }

  # train and its schedule
  assert {
    condition     = google_cloudfunctions2_function.train[0].service_config[0].timeout_seconds == 3600
    error_message = "train may take an hour"
  }
  assert {
    condition     = google_cloud_scheduler_job.train.schedule == "0 7 * * 1" && google_cloud_scheduler_job.train.time_zone == "Etc/UTC" && google_cloud_scheduler_job.train.attempt_deadline == "1800s"
    error_message = "training is weekly, in UTC, with the longest deadline that the schedule has"
  }
  assert {
    condition     = output.training.job == null && output.training.seconds == 1800
    error_message = "a deploy waits for the function for as long as a call of it may take"
  }
  assert {
    condition     = google_cloud_scheduler_job.train.retry_config[0].retry_count >= 1 && google_cloud_scheduler_job.train.retry_config[0].retry_count <= 5
    error_message = "the schedule tries again, but not for ever"
  }
  assert {
    condition     = tonumber(google_cloudfunctions2_function.train[0].service_config[0].environment_variables["TRAIN_BUDGET_SECONDS"]) < 1800
    error_message = "the search must end before the schedule's deadline"
  }

  # validate
  assert {
    condition     = module.validate.function.event_trigger[0].event_type == "google.cloud.storage.object.v1.finalized" && module.validate.function.event_trigger[0].trigger_region == lower(google_storage_bucket.pipeline.location)
    error_message = "validate acts on finalized objects, in the bucket's region"
  }
  assert {
    condition     = module.validate.function.service_config[0].timeout_seconds <= 540 && tonumber(module.validate.function.service_config[0].environment_variables["DEADLINE_SECONDS"]) <= module.validate.function.service_config[0].timeout_seconds - 35
    error_message = "validate must end by itself before the platform ends it"
  }
  assert {
    condition     = module.validate.function.service_config[0].max_instance_request_concurrency == tonumber(module.validate.function.service_config[0].environment_variables["THREADS"]) && module.validate.function.service_config[0].max_instance_count <= 20
    error_message = "validate's concurrency is bounded"
  }
  assert {
    condition     = module.validate.function.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "validate is not reached from outside"
  }

  # batch
  assert {
    condition     = module.batch.function.event_trigger[0].event_type == "google.cloud.storage.object.v1.finalized" && module.batch.function.event_trigger[0].trigger_region == lower(google_storage_bucket.pipeline.location)
    error_message = "batch acts on finalized objects, in the bucket's region"
  }
  assert {
    condition     = module.batch.function.service_config[0].timeout_seconds <= 540 && tonumber(module.batch.function.service_config[0].environment_variables["DEADLINE_SECONDS"]) <= module.batch.function.service_config[0].timeout_seconds - 35
    error_message = "batch must end by itself before the platform ends it"
  }
  assert {
    condition     = module.batch.function.service_config[0].max_instance_request_concurrency == 1 && module.batch.function.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "batch answers one file at a time and is not reached from outside"
  }

  # watch
  assert {
    condition     = module.watch.function.event_trigger[0].event_type == "google.cloud.storage.object.v1.finalized" && module.watch.function.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "watch acts on finalized objects and is not reached from outside"
  }
  assert {
    condition     = google_cloud_scheduler_job.watch.http_target[0].headers["Content-Type"] == "application/cloudevents+json" && jsondecode(base64decode(google_cloud_scheduler_job.watch.http_target[0].body)).type == "watch.look.v1"
    error_message = "the daily call is an event that the watch knows"
  }

  # who: nobody is everybody
  assert {
    condition     = !module.predict["staging"].public && !module.predict["production"].public
    error_message = "nothing is public unless public = true"
  }
  assert {
    condition     = output.services["staging"] != output.services["production"]
    error_message = "each stage has a service of its own"
  }
}

run "training_as_a_job" {
  command = plan
  variables {
    train_as                  = "job"
    train_cpu                 = 8
    train_memory_gib          = 16
    train_budget_seconds      = 20000
    train_job_timeout_seconds = 36000
  }
  assert {
    condition     = length(google_cloudfunctions2_function.train) == 0 && length(google_cloud_run_v2_service_iam_member.scheduler_calls_train) == 0
    error_message = "there is no training function beside the job"
  }
  assert {
    condition     = google_cloud_run_v2_job.train[0].template[0].template[0].timeout == "36000s" && google_cloud_run_v2_job.train[0].template[0].template[0].containers[0].resources[0].limits["cpu"] == "8"
    error_message = "the job has its own time and the processors that were asked for"
  }
  assert {
    condition     = output.training.job == "tabular-train" && output.training.seconds == 3 * 36000 && google_cloud_run_v2_job.train[0].template[0].template[0].max_retries == 2
    error_message = "a deploy waits for the job for as long as it and its retries may take"
  }
  assert {
    condition     = google_cloud_scheduler_job.train.http_target[0].uri == "https://run.googleapis.com/v2/projects/my-project/locations/europe-west1/jobs/tabular-train:run" && google_cloud_scheduler_job.train.http_target[0].oauth_token[0].service_account_email == local.accounts.scheduler.email && length(google_cloud_scheduler_job.train.http_target[0].oidc_token) == 0
    error_message = "the schedule starts the job by Cloud Run's API, with an access token of its own account"
  }
  assert {
    condition     = google_cloud_run_v2_job_iam_member.scheduler_runs_train[0].role == "roles/run.invoker" && google_cloud_run_v2_job.train[0].template[0].template[0].service_account == local.accounts.train.email
    error_message = "the schedule may run this job, and the job is the account that may write candidates"
  }
}

run "public" {
  command = plan
  variables {
    public        = true
    public_reason = "The page is shown on the open day."
  }
  assert {
    condition     = module.predict["production"].public && !module.predict["staging"].public
    error_message = "public opens production alone"
  }
}

# Made in memory, so that values which only the cloud says can be compared with where they are used.
run "made" {
  command = apply

  assert {
    condition     = alltrue([for called in [module.validate, module.batch, module.watch] : called.function.event_trigger[0].retry_policy == "RETRY_POLICY_RETRY"])
    error_message = "events must be tried again"
  }
  assert {
    condition     = google_cloud_scheduler_job.train.http_target[0].oidc_token[0].audience == google_cloudfunctions2_function.train[0].service_config[0].uri && google_cloud_scheduler_job.train.http_target[0].uri == google_cloudfunctions2_function.train[0].service_config[0].uri
    error_message = "the token's audience must be the function's own address"
  }
  assert {
    condition     = google_cloud_scheduler_job.train.http_target[0].oidc_token[0].service_account_email == local.accounts.scheduler.email
    error_message = "the schedule calls as its own account"
  }
  assert {
    condition = length(distinct([
      google_cloudfunctions2_function.train[0].service_config[0].service_account_email,
      module.validate.function.service_config[0].service_account_email,
      module.validate.function.event_trigger[0].service_account_email,
      module.batch.function.service_config[0].service_account_email,
      module.watch.function.service_config[0].service_account_email,
      google_cloudfunctions2_function.train[0].build_config[0].service_account,
      local.accounts.staging.email, local.accounts.production.email, local.accounts.scheduler.email,
      local.accounts.delivery.email, local.accounts.checks.email,
    ])) == 11
    error_message = "each identity has one purpose"
  }
}
