# The batch function: a file that is dropped below batch/in/ is answered below batch/out/. It sees the event of every object,
# as validation does, and acts on those of its own folder.

module "batch" {
  source         = "./modules/event_function"
  name           = "${var.name}-batch"
  project        = var.project
  region         = var.region
  description    = "Answers files of rows with the model of a stage, part by part."
  entry_point    = "batch"
  build          = merge(local.function_build, { object = google_storage_bucket_object.bundle["batch"].name })
  account        = local.accounts.batch.email
  events_account = { email = local.accounts.events.email, member = local.accounts.events.member }
  bucket         = google_storage_bucket.pipeline.name

  # Two processors: one piece is answered on each, while the next one is read. Memory does not depend on the file.
  cpu           = 2
  memory        = "2Gi"
  max_instances = var.batch_max_instances
  environment = {
    STAGE          = "production" # unless the file says another
    BATCH_TOLERATE = tostring(var.batch_tolerate)
    BATCH_THREADS  = "2"
  }
}

moved {
  from = google_cloudfunctions2_function.batch
  to   = module.batch.google_cloudfunctions2_function.this
}

moved {
  from = google_cloud_run_v2_service_iam_member.events_call_batch
  to   = module.batch.google_cloud_run_v2_service_iam_member.events_call
}
