# The predict services: the same image twice, each with its own stage and its own identity.

locals {
  stages = {
    staging    = { min_instances = 0, project = null }
    production = { min_instances = var.predict_min_instances, project = local.production_project }
  }
  # Answers 200 on every path, so the probes pass before there is an image of ours and a model for it to load.
  placeholder = "us-docker.pkg.dev/cloudrun/container/hello"
}

module "predict" {
  source          = "./modules/predict"
  for_each        = local.stages
  name            = "${var.name}-predict-${each.key}"
  project         = each.value.project
  region          = var.region
  stage           = each.key
  bucket          = google_storage_bucket.pipeline.name
  image           = coalesce(var.image, local.placeholder)
  service_account = local.accounts[each.key].email
  min_instances   = each.value.min_instances
  max_instances   = var.predict_max_instances
  concurrency     = var.predict_concurrency
  memory_mib      = var.predict_memory_mib
  refresh_seconds = var.refresh_seconds
  allowed_origins = var.allowed_origins
  public          = var.public && each.key == "production"
  depends_on      = [module.predict_access]
}

resource "google_cloud_run_v2_service_iam_member" "callers" {
  for_each = { for pair in setproduct(keys(local.stages), var.callers) : "${pair[0]} ${pair[1]}" => { stage = pair[0], member = pair[1] } }
  project  = local.stages[each.value.stage].project
  location = var.region
  name     = module.predict[each.value.stage].name
  role     = "roles/run.invoker"
  member   = each.value.member
}
