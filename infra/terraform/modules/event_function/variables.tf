variable "name" {
  description = "Its entry point in main.py; with the prefix before it the function's name. Its account and bundle have this name too."
  type        = string
}

variable "description" {
  description = "What it does, for the console."
  type        = string
}

variable "common" {
  description = "What is the same for every function of events: where it runs (the bucket is there too), whose finished objects are its events, who delivers them, who builds it, and each one's account (an e-mail) and bundle by its name."
  type = object({
    prefix         = string
    project        = string
    region         = string
    bucket         = string
    events_account = object({ email = string, member = string })
    build          = object({ account = string, repository = string, bucket = string })
    accounts       = map(string)
    bundles        = map(string)
  })
}

variable "cpu" {
  description = "Processors of an instance."
  type        = number
  default     = 1
}

variable "memory" {
  description = "Memory of an instance, such as 2Gi."
  type        = string
}

variable "timeout_seconds" {
  description = "When the platform ends a call; the function ends it 40 s earlier, at DEADLINE_SECONDS."
  type        = number
  default     = 540
  validation {
    condition     = var.timeout_seconds > 40 && var.timeout_seconds <= 540
    error_message = "timeout_seconds must be from 41 to 540: a function of events may run no longer."
  }
}

variable "max_instances" {
  description = "The most instances."
  type        = number
}

variable "concurrency" {
  description = "Events that one instance acts on at once."
  type        = number
  default     = 1
}

variable "environment" {
  description = "Environment variables of its own, beside those that every function of events has."
  type        = map(string)
}
