# The batch function: a file that is dropped below batch/in/ is answered below batch/out/. It sees the event of every object,
# as validation does, and acts on those of its own folder.

module "batch" {
  source      = "./modules/event_function"
  name        = "batch"
  description = "Answers files of rows with the model of a stage, part by part."
  common      = local.function_common

  # Two processors: one piece is answered on each, while the next one is read. Memory does not depend on the file.
  cpu           = 2
  memory        = "2Gi"
  max_instances = var.batch_max_instances
  environment = merge(
    {
      STAGE          = "production" # unless the file says another
      BATCH_TOLERATE = tostring(var.batch_tolerate)
      BATCH_THREADS  = "2"
    },
    local.on_dataflow ? {
      BATCH_ENGINE_ROWS    = tostring(var.batch_engine_rows)
      DATAFLOW_REGION      = var.region
      DATAFLOW_TEMPLATE    = "gs://${google_storage_bucket.sources.name}/flex/batch.json"
      DATAFLOW_ACCOUNT     = local.accounts["dataflow"].email
      DATAFLOW_MAX_WORKERS = tostring(var.batch_max_workers)
    } : {},
  )
}

# ---- beyond one function: Dataflow, off unless batch_engine_rows says from which size ---------------------------------

locals {
  on_dataflow = var.batch_engine_rows > 0
}

# infra/delivery/dataflow.py builds the workers' image and writes the template that names it. Whoever starts a job reads
# that; the launcher, as the workers' account, does too.
module "flex_access" {
  source   = "./modules/object_access"
  for_each = toset(local.on_dataflow ? ["batch", "dataflow"] : [])
  bucket   = google_storage_bucket.sources.name
  member   = local.accounts[each.key].member
  roles    = local.roles
  read     = ["flex/"]
}

# The function's own grants, and Beam's temporary files.
module "dataflow_access" {
  source = "./modules/object_access"
  count  = local.on_dataflow ? 1 : 0
  bucket = google_storage_bucket.pipeline.name
  member = local.accounts["dataflow"].member
  roles  = local.roles
  read   = ["batch/", "staging/", "production/"]
  create = ["batch/out/", "batch/tmp/"]
  remove = ["batch/tmp/"]
}
