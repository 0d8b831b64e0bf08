# Machines for a search on Dask, where they are asked for. Training makes them and may do nothing else with a machine; they
# fetch the job's image and write their log.

module "search_machines" {
  source       = "../modules/search_machines"
  count        = var.search == null ? 0 : 1
  name         = module.names.search.name
  region       = var.region
  range        = module.names.search.range
  scheduler    = module.names.search.scheduler
  image        = "${module.names.repository.address}/train:current"
  account      = module.names.accounts["search"].email
  machine_type = var.search.machine_type
  hours        = var.search.hours
  depends_on   = [google_project_service.api, google_service_account.account]
}

resource "google_project_iam_member" "train_makes_machines" {
  count      = var.search == null ? 0 : 1
  project    = var.project
  role       = module.names.custom_roles["machine_starter"].id
  member     = module.names.accounts.train.member
  depends_on = [google_project_iam_custom_role.role, google_service_account.account]
}

resource "google_service_account_iam_member" "train_acts_as_machines" {
  count              = var.search == null ? 0 : 1
  service_account_id = module.names.accounts["search"].id
  role               = "roles/iam.serviceAccountUser"
  member             = module.names.accounts.train.member
  depends_on         = [google_service_account.account]
}

resource "google_artifact_registry_repository_iam_member" "machines_pull" {
  count      = var.search == null ? 0 : 1
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = module.names.accounts["search"].member
  depends_on = [google_service_account.account]
}
