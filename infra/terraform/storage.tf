# One bucket holds the data, the models and the pointers; another the functions' sources, so that a deploy is no event.

locals {
  location = upper(coalesce(var.bucket_location, var.region))
}

resource "google_storage_bucket" "pipeline" {
  name                        = module.names.buckets.pipeline
  location                    = local.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = 7 * 24 * 3600
  }

  # Held-out rows live in candidates/ only, so this is also how long rows of the data are copied.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.candidate_retention_days
      matches_prefix = ["candidates/"]
      with_state     = "LIVE"
    }
  }

  # A lease says which candidate the same inputs gave, and runs/ how each call of training ended: both are kept as long as
  # candidates.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.candidate_retention_days
      matches_prefix = ["locks/", "runs/"]
      with_state     = "LIVE"
    }
  }

  # Files to answer and their answers: both hold rows of the data.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.batch_retention_days
      matches_prefix = ["batch/"]
      with_state     = "LIVE"
    }
  }

  # Counters are read for four weeks, and those of a run's first week for as long as it serves.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.live_retention_days
      matches_prefix = ["live/"]
      with_state     = "LIVE"
    }
  }

  # Overwritten pointers and whatever was deleted. The models of staging/ and production/ have no rule by age: a rule knows
  # only how old a file is, and the oldest may be the one that serves. They move to a cheaper class instead.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = var.version_retention_days
      with_state                 = "ARCHIVED"
    }
  }

  lifecycle_rule {
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }
    condition {
      age                   = 365
      matches_prefix        = ["staging/2", "production/2", "mlflow/"]
      matches_storage_class = ["STANDARD"]
      with_state            = "LIVE"
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 1
    }
  }
}

resource "google_storage_bucket" "sources" {
  name                        = module.names.buckets.sources
  location                    = local.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # only bundles, which `make bundle` makes again

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = 7 * 24 * 3600
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = var.version_retention_days
      with_state                 = "ARCHIVED"
    }
  }
}

# The digest in the name is what makes new code redeploy and unchanged code stay.
resource "google_storage_bucket_object" "bundle" {
  for_each = toset(["train", "validate", "batch", "watch"])
  bucket   = google_storage_bucket.sources.name
  name     = "${each.key}/${filesha256("${var.bundle_dir}/${each.key}.zip")}.zip"
  source   = "${var.bundle_dir}/${each.key}.zip"
}

# ---- who may do what with which objects ------------------------------------------------------------------------------
# Each of the roles has one permission (modules/names), and a condition on the object's name narrows each grant to prefixes.

module "train_access" {
  source = "./modules/object_access"
  bucket = google_storage_bucket.pipeline.name
  member = local.accounts.train.member
  roles  = local.roles
  read   = ["data/", "labels/", "candidates/", "locks/train/", "runs/", "staging/", "mlflow/"]
  create = ["data/snapshots/", "candidates/", "locks/train/", "runs/", "mlflow/"]
  remove = ["locks/train/"]
}

module "validate_access" {
  source = "./modules/object_access"
  bucket = google_storage_bucket.pipeline.name
  member = local.accounts.validate.member
  roles  = local.roles
  read   = ["candidates/", "staging/", "production/", "promote/"]
  create = [
    "candidates/", "staging/", "production/", "promote/production.rejected.json",
    "promote/production.challenger.rejected.json", "promote/approvals/",
  ]
  # The two pointers and the challenger are overwritten. Nothing below history/ ever is, nor deleted: no identity of this system may, and no
  # lifecycle rule reaches it. A retention policy would say so to administrators too, but it holds for the whole bucket
  # (https://cloud.google.com/storage/docs/bucket-lock), so that the pointers could not be swapped either.
  remove = [
    "staging/current.json", "production/current.json", "production/challenger.json", "promote/production.rejected.json",
    "promote/production.challenger.rejected.json",
  ]
}

module "predict_access" {
  source   = "./modules/object_access"
  for_each = local.stages
  bucket   = google_storage_bucket.pipeline.name
  member   = local.accounts[each.key].member
  roles    = local.roles
  read     = ["${each.key}/", "watch/${each.key}/index.html"]
  create   = ["live/${each.key}/"]
}

module "batch_access" {
  source = "./modules/object_access"
  bucket = google_storage_bucket.pipeline.name
  member = local.accounts.batch.member
  roles  = local.roles
  read   = ["batch/", "staging/", "production/"]
  create = ["batch/out/"]
}

module "watch_access" {
  source = "./modules/object_access"
  bucket = google_storage_bucket.pipeline.name
  member = local.accounts.watch.member
  roles  = local.roles
  read   = ["live/", "labels/", "watch/", "staging/", "production/", "locks/retrain/", "promote/production.json"]
  create = [
    "watch/", "labels/", "locks/retrain/", "production/challenger.json", "production/challenges/", "promote/production.json",
  ]
  # A page, a day's performance and the reasons beside a file of labels are replaced. Reports, alarms and the ledger never are.
  # The judge ends a challenge, and asks for a promotion as a person does: validation verifies its marker like any other.
  remove = [
    "watch/staging/index.html", "watch/production/index.html", "watch/performance/", "watch/challenge.json", "labels/",
    "production/challenger.json", "promote/production.json",
  ]
}

module "promoter_access" {
  source   = "./modules/object_access"
  for_each = toset(var.promoters)
  bucket   = google_storage_bucket.pipeline.name
  member   = each.value
  roles    = local.roles
  read     = ["staging/", "production/", "promote/"]
  create   = ["promote/production.json", "promote/production.challenger.json"]
  # The second promotion overwrites the first one's marker, which Cloud Storage counts as deleting it.
  remove = ["promote/production.json", "promote/production.challenger.json"]
}

# The project's editors get nothing of the bucket by themselves (modules/owners_only), so whoever brings data is named.
module "data_access" {
  source   = "./modules/object_access"
  for_each = toset(var.data_editors)
  bucket   = google_storage_bucket.pipeline.name
  member   = each.value
  roles    = local.roles
  read     = ["data/", "batch/", "labels/", "candidates/", "runs/"]
  create   = ["data/", "batch/in/", "labels/"]
  remove   = ["data/", "batch/in/", "labels/"]
}
