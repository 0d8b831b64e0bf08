# Takes back what a new bucket gives by itself: the project's viewers read every object of it, and its editors overwrite and
# delete them (https://cloud.google.com/storage/docs/access-control/iam-roles#basic-roles-modifiable). Its owners stay, who
# could grant themselves anything anyway.

variable "bucket" {
  description = "The bucket's name."
  type        = string
}

variable "project" {
  description = "Id of the project that the bucket is in."
  type        = string
}

resource "google_storage_bucket_iam_binding" "convenience" {
  for_each = toset(["legacyBucketOwner", "legacyBucketReader", "legacyObjectOwner", "legacyObjectReader"])
  bucket   = var.bucket
  role     = "roles/storage.${each.value}"
  members  = ["projectOwner:${var.project}"]
}
