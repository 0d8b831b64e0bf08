# What the delivery may do with what is made here; what it may do on the project stands in owner/accounts.tf. A person makes
# the buckets, with their first apply; from then on the delivery may change their settings and grants, and none of the
# objects of the pipeline's.

resource "google_storage_bucket_iam_member" "delivery_keeps" {
  for_each = { pipeline = google_storage_bucket.pipeline.name, sources = google_storage_bucket.sources.name }
  bucket   = each.value
  role     = module.names.custom_roles.bucket_keeper.id
  member   = local.accounts.delivery.member
}

# The functions' bundles, and what it sends to the builds of the image and of the checks.
module "delivery_sources" {
  source = "./modules/object_access"
  bucket = google_storage_bucket.sources.name
  member = local.accounts.delivery.member
  roles  = local.roles
  read   = [""]
  create = [""]
  remove = [""]
}

# Once the delivery's own grants are there; a person who deploys has theirs on the project (`make doctor` names them).
module "owners_only" {
  source     = "./modules/owners_only"
  for_each   = { pipeline = google_storage_bucket.pipeline.name, sources = google_storage_bucket.sources.name }
  bucket     = each.value
  project    = var.project
  depends_on = [google_storage_bucket_iam_member.delivery_keeps, module.delivery_sources]
}
