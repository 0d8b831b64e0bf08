variable "name" {
  description = "The function's name."
  type        = string
}

variable "project" {
  description = "The project that it runs in."
  type        = string
}

variable "region" {
  description = "Where it runs; the bucket is there too."
  type        = string
}

variable "description" {
  description = "What it does, for the console."
  type        = string
}

variable "entry_point" {
  description = "The function's name in its main.py."
  type        = string
}

variable "build" {
  description = "Who builds it (an account's id), into which repository, and the bundle that it is built from."
  type        = object({ account = string, repository = string, bucket = string, object = string })
}

variable "account" {
  description = "E-mail of the identity that it runs as."
  type        = string
}

variable "events_account" {
  description = "The identity that delivers its events; it may call the function."
  type        = object({ email = string, member = string })
}

variable "bucket" {
  description = "Name of the bucket whose finished objects are its events."
  type        = string
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
