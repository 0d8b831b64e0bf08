# A table or a query of BigQuery as training's source, where datasets are named: train may run queries in this project, and
# read those datasets and no other.

locals {
  read_by_train = { for name in var.bigquery_datasets : name => split(".", name) }
}

resource "google_project_iam_member" "train_queries" {
  count      = length(var.bigquery_datasets) > 0 ? 1 : 0
  project    = var.project
  role       = "roles/bigquery.jobUser"
  member     = module.names.accounts.train.member
  depends_on = [google_service_account.account]
}

resource "google_bigquery_dataset_iam_member" "train_reads" {
  for_each   = local.read_by_train
  project    = each.value[0]
  dataset_id = each.value[1]
  role       = "roles/bigquery.dataViewer"
  member     = module.names.accounts.train.member
  depends_on = [google_service_account.account]
}
