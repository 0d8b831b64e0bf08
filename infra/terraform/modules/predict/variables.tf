variable "name" {
  description = "The service's name."
  type        = string
}

variable "project" {
  description = "Id of the project that it runs in; null for the provider's own."
  type        = string
  default     = null
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "stage" {
  description = "staging or production: the prefix that it serves from."
  type        = string
  validation {
    condition     = contains(["staging", "production"], var.stage)
    error_message = "stage must be staging or production."
  }
}

variable "bucket" {
  description = "The pipeline's bucket."
  type        = string
}

variable "image" {
  description = "The image of its first revision."
  type        = string
}

variable "service_account" {
  description = "E-mail of the identity that it runs as."
  type        = string
}

variable "min_instances" {
  description = "Instances that always run."
  type        = number
}

variable "max_instances" {
  description = "The most instances."
  type        = number
}

variable "concurrency" {
  description = "Requests at once per instance."
  type        = number
}

variable "memory_mib" {
  description = "Memory of an instance in MiB."
  type        = number
}

variable "refresh_seconds" {
  description = "How old the last look at the pointer may be."
  type        = number
}

variable "allowed_origins" {
  description = "Web pages of which origins may ask from a browser."
  type        = list(string)
}

variable "max_body_bytes" {
  description = "The largest request body."
  type        = number
  default     = 8388608
}

variable "max_batch_rows" {
  description = "The most rows of a batch."
  type        = number
  default     = 10000
}

variable "public" {
  description = "Whether callers are asked for no identity at all."
  type        = bool
}
