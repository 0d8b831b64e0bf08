# What both roots are given, the owner's (owner/ has this very file, by a link) and the delivery's.

locals {
  project_id = "^[a-z][a-z0-9-]{4,28}[a-z0-9]$"
}

variable "project" {
  description = "Id of the Google Cloud project that everything is made in."
  type        = string
  validation {
    condition     = can(regex(local.project_id, var.project))
    error_message = "project must be a project id: 6 to 30 lower-case letters, digits and hyphens, such as my-team-ml."
  }
}

variable "production_project" {
  description = "Id of the project that production serves in, where it is not the same one: make deploy PRODUCTION_PROJECT=."
  type        = string
  default     = null
  validation {
    condition     = var.production_project == null || can(regex(local.project_id, var.production_project))
    error_message = "production_project must be a project id: 6 to 30 lower-case letters, digits and hyphens, such as my-team-live."
  }
}

variable "region" {
  description = "Where the functions run, such as europe-west1."
  type        = string
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region's name, such as europe-west1; a zone (europe-west1-b) or EU is not one."
  }
}

variable "name" {
  description = "Prefix of everything that is made; another name makes a second, separate pipeline."
  type        = string
  default     = "tabular"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,17}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 19 lower-case letters, digits and hyphens: service account ids, of at most 30, are built from it."
  }
}
