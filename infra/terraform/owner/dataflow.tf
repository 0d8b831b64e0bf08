# What batches on Dataflow need of the project, where they are asked for: the batch function starts jobs, as whose workers'
# account it may act, and that account does the work.

resource "google_project_iam_member" "starts_dataflow" {
  count      = var.dataflow ? 1 : 0
  project    = var.project
  role       = module.names.custom_roles["dataflow_starter"].id
  member     = module.names.accounts.batch.member
  depends_on = [google_project_iam_custom_role.role, google_service_account.account]
}

resource "google_service_account_iam_member" "batch_acts_as_workers" {
  count              = var.dataflow ? 1 : 0
  service_account_id = module.names.accounts["dataflow"].id
  role               = "roles/iam.serviceAccountUser"
  member             = module.names.accounts.batch.member
  depends_on         = [google_service_account.account]
}

# Google's role reads and writes the objects of every bucket of the project as well. The condition takes that away: which
# objects of ours the workers read and write stands in the delivery's root, by prefix.
resource "google_project_iam_member" "dataflow_works" {
  count      = var.dataflow ? 1 : 0
  project    = var.project
  role       = "roles/dataflow.worker"
  member     = module.names.accounts["dataflow"].member
  depends_on = [google_service_account.account]

  condition {
    title      = "no objects"
    expression = "resource.type != \"storage.googleapis.com/Object\""
  }
}

resource "google_artifact_registry_repository_iam_member" "workers_pull" {
  count      = var.dataflow ? 1 : 0
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = module.names.accounts["dataflow"].member
  depends_on = [google_service_account.account]
}
