# What one identity may do with the objects of one bucket, by the prefixes of their names.

variable "bucket" {
  description = "The bucket's name."
  type        = string
}

variable "member" {
  description = "Who: an IAM member."
  type        = string
}

variable "roles" {
  description = "Ids of the roles lister, reader, creator and remover."
  type        = object({ lister = string, reader = string, creator = string, remover = string })
}

variable "read" {
  description = "Prefixes of what may be read."
  type        = list(string)
  default     = []
}

variable "create" {
  description = "Prefixes of what may be created where nothing is yet."
  type        = list(string)
  default     = []
}

variable "remove" {
  description = "Prefixes of what may be overwritten and deleted."
  type        = list(string)
  default     = []
}

locals {
  grants = { for role, prefixes in { reader = var.read, creator = var.create, remover = var.remove } : role => prefixes if length(prefixes) > 0 }
}

resource "google_storage_bucket_iam_member" "list" {
  bucket = var.bucket
  role   = var.roles.lister
  member = var.member
}

resource "google_storage_bucket_iam_member" "objects" {
  for_each = local.grants
  bucket   = var.bucket
  role     = var.roles[each.key]
  member   = var.member

  condition {
    title       = "${each.key}-by-prefix"
    description = join(" ", each.value)
    expression = join(" || ", [
      for prefix in each.value : "resource.name.startsWith(\"projects/_/buckets/${var.bucket}/objects/${prefix}\")"
    ])
  }
}

output "prefixes" {
  description = "The prefixes that each role was granted for."
  value       = local.grants
}
