# What the owner's root is given beside common_variables.tf.

variable "repository_connection" {
  description = "The repository that Cloud Build is connected to: projects/P/locations/R/connections/C/repositories/N. Empty: no triggers."
  type        = string
  default     = ""
  validation {
    condition     = var.repository_connection == "" || can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.repository_connection))
    error_message = "repository_connection must be projects/P/locations/R/connections/C/repositories/N (gcloud builds repositories list)."
  }
}

variable "github_repository" {
  description = "owner/name of a GitHub repository whose workflows may deploy without a key. Empty: none."
  type        = string
  default     = ""
  validation {
    condition     = var.github_repository == "" || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be owner/name."
  }
}

variable "monthly_budget" {
  description = "Amount in the billing account's currency at which its owners are told. 0: no budget."
  type        = number
  default     = 0
  validation {
    condition     = var.monthly_budget == 0 || (var.monthly_budget >= 1 && var.billing_account != "")
    error_message = "monthly_budget must be 0, or at least 1 together with billing_account, such as 012345-6789AB-CDEF01."
  }
}

variable "billing_account" {
  description = "The billing account that the budget belongs to."
  type        = string
  default     = ""
  validation {
    condition     = var.billing_account == "" || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "billing_account must look like 012345-6789AB-CDEF01 (gcloud billing accounts list)."
  }
}

variable "sql" {
  description = "Whether BigQuery gets a dataset with external tables over the bucket's documents. Nothing is copied."
  type        = bool
  default     = false
}

variable "dataflow" {
  description = "Whether files beyond one function may be answered on Dataflow: its APIs, its workers' account, and that NAME-batch may start it. batch_engine_rows says from which size."
  type        = bool
  default     = false
}

variable "search" {
  description = "Machines on which a search of the training job may run (search_machines says how many); null: none. A worker's machine type; after how many hours each machine deletes itself, which is longer than a search."
  type = object({
    machine_type = optional(string, "n2d-standard-4")
    hours        = optional(number, 1)
  })
  default = null
  validation {
    condition     = var.search == null || try(var.search.hours >= 1 && var.search.hours <= 24 && floor(var.search.hours) == var.search.hours, false)
    error_message = "search's hours must be a whole number from 1 to 24: no machine outlives a search by a day."
  }
}

variable "bigquery_datasets" {
  description = "Datasets of BigQuery, as project.dataset, whose tables a spec may name as its source. Empty: none."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for name in var.bigquery_datasets : can(regex("^[a-z0-9:.-]*[a-z0-9-]\\.[A-Za-z0-9_]+$", name)) && length(split(".", name)) == 2])
    error_message = "bigquery_datasets must be project.dataset each, such as \"my-project.sales\"."
  }
}
