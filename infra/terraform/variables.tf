# What the delivery's root is given beside common_variables.tf.

locals {
  number = "^[0-9]{6,20}$"
  # An IAM member; allUsers and allAuthenticatedUsers are none.
  somebody = "^(user|group|serviceAccount|principal|principalSet):.+"
}

# Given, not read: a plan of a new project would ask an API that is not on yet.
variable "project_number" {
  description = "Number of that project, which the names of Google's own agents hold: gcloud projects describe PROJECT."
  type        = string
  validation {
    condition     = can(regex(local.number, var.project_number))
    error_message = "project_number must be the project's number, digits only: gcloud projects describe PROJECT --format='value(projectNumber)'."
  }
}

variable "production_project_number" {
  description = "Number of production's project, where it is one of its own."
  type        = string
  default     = null
  validation {
    condition     = var.production_project_number == null || can(regex(local.number, var.production_project_number))
    error_message = "production_project_number must be the project's number, digits only: gcloud projects describe PROJECT --format='value(projectNumber)'."
  }
  validation {
    condition     = coalesce(var.production_project, var.project) == var.project || var.production_project_number != null
    error_message = "production_project needs production_project_number, which the names of Google's own agents hold; make deploy gives both."
  }
}

variable "bucket_location" {
  description = "Where the bucket is; left out, it is the region. An event trigger must be in its bucket's location."
  type        = string
  default     = null
  validation {
    condition     = var.bucket_location == null || try(lower(var.bucket_location) == var.region, false)
    error_message = "bucket_location must equal region: an event trigger only works in its bucket's own location."
  }
}

variable "dataset" {
  description = "Key of the dataset's spec in the bucket."
  type        = string
  default     = "data/dataset.toml"
  validation {
    condition     = startswith(var.dataset, "data/") && endswith(var.dataset, ".toml")
    error_message = "dataset must be a key below data/ that ends in .toml: train may read that folder and nothing else."
  }
}

variable "bundle_dir" {
  description = "Folder with train.zip, validate.zip, batch.zip and watch.zip, as `make bundle` writes them."
  type        = string
  default     = "../../build"
}

variable "git_sha" {
  description = "Commit that is deployed; every model's manifest carries it, and another one trains anew."
  type        = string
  default     = "unknown"
}

variable "image" {
  description = "The first image of both predict services. Empty: a public placeholder, until the delivery moves them."
  type        = string
  default     = ""
}

# ---- training ----------------------------------------------------------------------------------------------------

variable "train_as" {
  description = "\"function\", which trains for half an hour at most, or \"job\": a Cloud Run job without that bound."
  type        = string
  default     = "function"
  validation {
    condition     = contains(["function", "job"], var.train_as)
    error_message = "train_as must be \"function\" or \"job\"."
  }
}

variable "train_job_timeout_seconds" {
  description = "With train_as = \"job\": when a run that is not done is ended."
  type        = number
  default     = 7200
  validation {
    condition     = var.train_job_timeout_seconds >= 600 && var.train_job_timeout_seconds <= 108000
    error_message = "train_job_timeout_seconds must be from 600 to 108000: a search takes a day at most, and what it found is then finished."
  }
}

variable "train_schedule" {
  description = "When to train, as a cron in UTC."
  type        = string
  default     = "0 7 * * 1"
  validation {
    condition     = can(regex("^([0-9*,/-]+) ([0-9*,/-]+) ([0-9*,/-]+) ([0-9A-Za-z*,/-]+) ([0-9A-Za-z*,/-]+)$", var.train_schedule))
    error_message = "train_schedule must be a cron of five fields, such as \"0 7 * * 1\" for Mondays at 07:00 UTC."
  }
}

variable "train_attempt_deadline_seconds" {
  description = "How long Cloud Scheduler waits for one run of the training function."
  type        = number
  default     = 1800
  validation {
    condition     = var.train_attempt_deadline_seconds >= 60 && var.train_attempt_deadline_seconds <= 1800
    error_message = "train_attempt_deadline_seconds must be from 60 to 1800: Cloud Scheduler waits for no longer."
  }
}

variable "train_budget_seconds" {
  description = "When the search stops and the best model so far is finished and published."
  type        = number
  default     = 1500
  validation {
    condition     = var.train_budget_seconds >= 1 && (var.train_as == "job" || var.train_budget_seconds <= var.train_attempt_deadline_seconds - 120)
    error_message = "train_budget_seconds must leave 120 s before train_attempt_deadline_seconds: what is found must still be finished and published. For a longer run set train_as = \"job\"."
  }
  validation {
    condition     = var.train_as == "function" || (var.train_budget_seconds <= 0.8 * var.train_job_timeout_seconds && var.train_budget_seconds <= 86400)
    error_message = "train_budget_seconds must be at most 86400 and leave a fifth of train_job_timeout_seconds: what is found must still be finished and published."
  }
}

variable "train_cpu" {
  description = "Processors of training, as a function or as a job; its search uses them all."
  type        = number
  default     = 2
  validation {
    condition     = contains([1, 2, 4, 8], var.train_cpu)
    error_message = "train_cpu must be 1, 2, 4 or 8."
  }
}

variable "train_memory_gib" {
  description = "Memory of training in GiB, as a function or as a job."
  type        = number
  default     = 4
  validation {
    condition     = var.train_memory_gib >= 2 && var.train_memory_gib <= 32 && var.train_memory_gib >= var.train_cpu / 2
    error_message = "train_memory_gib must be from 2 to 32: ten algorithms and a process per processor do not fit in less."
  }
  validation {
    condition     = var.train_memory_gib <= var.train_cpu * 4
    error_message = "train_memory_gib must be at most 4 GiB per processor: Cloud Run refuses more; raise train_cpu with it."
  }
}

variable "search_machines" {
  description = "With train_as = \"job\" and the owner's search: how many spot machines a search is spread over. 0: it runs in the job."
  type        = number
  default     = 0
  validation {
    condition     = var.search_machines >= 0 && var.search_machines <= 100 && floor(var.search_machines) == var.search_machines
    error_message = "search_machines must be a whole number from 0 to 100."
  }
  validation {
    condition     = var.search_machines == 0 || var.train_as == "job"
    error_message = "search_machines needs train_as = \"job\": the machines run the job's image, and the function is in no network."
  }
}

variable "mlflow_tracking_uri" {
  description = "An MLflow server. Empty: every run's own store goes to mlflow/<run_id>/ in the bucket, at no cost at rest."
  type        = string
  default     = ""
  validation {
    condition     = var.mlflow_tracking_uri == "" || can(regex("^https?://[^@]+$", var.mlflow_tracking_uri))
    error_message = "mlflow_tracking_uri must be an http(s) address without a password in it: variables are readable in the console."
  }
}

# ---- validation --------------------------------------------------------------------------------------------------

variable "validate_timeout_seconds" {
  description = "How long validation may take for one event."
  type        = number
  default     = 540
  validation {
    condition     = var.validate_timeout_seconds >= 60 && var.validate_timeout_seconds <= 540
    error_message = "validate_timeout_seconds must be from 60 to 540: the platform ends an event function after 540 s."
  }
}

variable "validate_memory_mib" {
  description = "Memory of one validation instance in MiB; what is left beside its own runs candidates, each within a limit."
  type        = number
  default     = 1024
  validation {
    condition     = var.validate_memory_mib >= 1024 && var.validate_memory_mib <= 4096
    error_message = "validate_memory_mib must be from 1024 to 4096: candidates are run in processes of their own beside the function's."
  }
}

variable "validate_max_instances" {
  description = "How many events are worked on at once. Promotions exclude each other by conditional writes, not by this."
  type        = number
  default     = 3
  validation {
    condition     = var.validate_max_instances >= 1 && var.validate_max_instances <= 20
    error_message = "validate_max_instances must be from 1 to 20."
  }
}

# ---- watch -------------------------------------------------------------------------------------------------------

variable "watch_schedule" {
  description = "When the day before is looked at (cron, UTC)."
  type        = string
  default     = "0 6 * * *"
  validation {
    condition     = length(split(" ", var.watch_schedule)) == 5
    error_message = "watch_schedule must have five fields, as cron does: 0 6 * * *"
  }
}

variable "watch_max_instances" {
  description = "The most files of labels that are taken in at once."
  type        = number
  default     = 3
  validation {
    condition     = var.watch_max_instances >= 1 && var.watch_max_instances <= 20
    error_message = "watch_max_instances must be from 1 to 20."
  }
}

variable "live_retention_days" {
  description = "How long counters of live rows are kept."
  type        = number
  default     = 400
  validation {
    condition     = var.live_retention_days >= 35
    error_message = "live_retention_days must be 35 or more: a look reads four weeks."
  }
}

# ---- batches -----------------------------------------------------------------------------------------------------

variable "batch_max_instances" {
  description = "How many files are answered at once."
  type        = number
  default     = 3
  validation {
    condition     = var.batch_max_instances >= 1 && var.batch_max_instances <= 20
    error_message = "batch_max_instances must be from 1 to 20."
  }
}

variable "batch_tolerate" {
  description = "The share of a file's rows that may have no answer; with more the whole file is refused. A file may say its own."
  type        = number
  default     = 0.01
  validation {
    condition     = var.batch_tolerate >= 0 && var.batch_tolerate <= 1
    error_message = "batch_tolerate must be a share from 0 to 1."
  }
}

variable "batch_engine_rows" {
  description = "Files of more rows are answered on Dataflow, which the owner's dataflow = true allows. 0: none are."
  type        = number
  default     = 0
  validation {
    condition     = var.batch_engine_rows == 0 || (var.batch_engine_rows >= 1000000 && var.batch_engine_rows == floor(var.batch_engine_rows))
    error_message = "batch_engine_rows must be 0, or a whole number from 1000000: the function answers fewer before a worker has started."
  }
}

variable "batch_max_workers" {
  description = "With batch_engine_rows: the most machines of one job, 2 vCPU each."
  type        = number
  default     = 10
  validation {
    condition     = var.batch_max_workers >= 1 && var.batch_max_workers <= 1000
    error_message = "batch_max_workers must be from 1 to 1000."
  }
}

variable "batch_retention_days" {
  description = "Days after which a dropped file and its answer are deleted: both hold rows of the data."
  type        = number
  default     = 90
  validation {
    condition     = var.batch_retention_days >= 1
    error_message = "batch_retention_days must be 1 or more."
  }
}

# ---- serving -----------------------------------------------------------------------------------------------------

variable "predict_min_instances" {
  description = "Instances of the production service that always run: 0 costs nothing while idle, 1 avoids cold starts."
  type        = number
  default     = 0
  validation {
    condition     = var.predict_min_instances >= 0 && var.predict_min_instances <= var.predict_max_instances
    error_message = "predict_min_instances must be from 0 to predict_max_instances."
  }
}

variable "predict_max_instances" {
  description = "The most instances of each predict service; bounds the cost of a flood."
  type        = number
  default     = 4
  validation {
    condition     = var.predict_max_instances >= 1 && var.predict_max_instances <= 100
    error_message = "predict_max_instances must be from 1 to 100."
  }
}

variable "predict_concurrency" {
  description = "Requests that one predict instance works on at once."
  type        = number
  default     = 80
  validation {
    condition     = var.predict_concurrency >= 1 && var.predict_concurrency <= 1000
    error_message = "predict_concurrency must be from 1 to 1000."
  }
}

variable "predict_memory_mib" {
  description = "Memory of one predict instance in MiB."
  type        = number
  default     = 512
  validation {
    condition     = var.predict_memory_mib >= 512 && var.predict_memory_mib <= 4096
    error_message = "predict_memory_mib must be from 512 to 4096: the second generation of execution environments starts with less memory, and then ends."
  }
}

variable "refresh_seconds" {
  description = "How old a predict instance's last look at its stage's pointer may be."
  type        = number
  default     = 15
  validation {
    condition     = var.refresh_seconds >= 1 && var.refresh_seconds <= 3600
    error_message = "refresh_seconds must be from 1 to 3600."
  }
}

variable "allowed_origins" {
  description = "Web pages of which origins may ask the predict services from a browser, such as https://example.org."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for origin in var.allowed_origins : can(regex("^(https?://[a-z0-9.:\\[\\]-]+|[*])$", origin))])
    error_message = "allowed_origins must be origins such as https://example.org, without a path, or \"*\"."
  }
}

variable "public" {
  description = "Whether production asks no caller who it is: anybody on the internet may ask it for predictions, callers or not."
  type        = bool
  default     = false
}

variable "public_reason" {
  description = "Why production is public; required with public = true and kept as a label of the plan."
  type        = string
  default     = ""
  validation {
    condition     = var.public == (length(trimspace(var.public_reason)) >= 10)
    error_message = "public = true needs public_reason, a sentence that says why anybody may ask; without public leave it empty."
  }
}

variable "callers" {
  description = "Who may ask the predict services, as IAM members such as group:school@example.org."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for member in var.callers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+", member))])
    error_message = "callers must be IAM members such as group:school@example.org; for everybody set public = true with its reason."
  }
}

variable "promoters" {
  description = "Who may promote to production and roll back, as IAM members such as user:ada@example.org."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for member in var.promoters : can(regex(local.somebody, member))])
    error_message = "promoters must be IAM members such as user:ada@example.org; everybody is never one."
  }
}

variable "data_editors" {
  description = "Who may put tables, files to answer and labels into the bucket and read what becomes of them, as IAM members such as group:data@example.org. Owners of the project may without it; its editors and viewers may not."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for member in var.data_editors : can(regex(local.somebody, member))])
    error_message = "data_editors must be IAM members such as group:data@example.org; everybody is never one."
  }
}

# ---- keeping -----------------------------------------------------------------------------------------------------

variable "candidate_retention_days" {
  description = "How long a candidate and its held-out rows are kept."
  type        = number
  default     = 90
  validation {
    condition     = var.candidate_retention_days >= 15
    error_message = "candidate_retention_days must be at least 15: the next weekly runs are compared with what serves."
  }
}

variable "version_retention_days" {
  description = "How long overwritten and deleted objects can be brought back."
  type        = number
  default     = 30
  validation {
    condition     = var.version_retention_days >= 7
    error_message = "version_retention_days must be at least 7."
  }
}

# ---- watching ----------------------------------------------------------------------------------------------------

variable "notification_email" {
  description = "Who is told when something needs a person. Empty: alerts show in the console only."
  type        = string
  default     = ""
  validation {
    condition     = var.notification_email == "" || can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.notification_email))
    error_message = "notification_email must be one address, such as ml-team@example.org."
  }
}

variable "slo" {
  description = "What production promises: shares of answers that are no 5xx and that come within latency_ms. Left out: no uptime check, no objectives, no burn-rate alerts (infra/README.md has the price)."
  type = object({
    availability = optional(number, 0.995)
    fast_share   = optional(number, 0.95)
    latency_ms   = optional(number, 300)
  })
  default = null
  validation {
    condition     = var.slo == null || try(alltrue([for share in [var.slo.availability, var.slo.fast_share] : share >= 0.5 && share <= 0.9999]), false)
    error_message = "slo's availability and fast_share must be from 0.5 to 0.9999: a budget of nothing burns with the first fault."
  }
  validation {
    condition     = var.slo == null || try(var.slo.latency_ms >= 10 && var.slo.latency_ms <= 60000, false)
    error_message = "slo's latency_ms must be from 10 to 60000: a request ends after 60 s."
  }
}

variable "runbook_url" {
  description = "Where the alerts send people: infra/README.md as your repository shows it."
  type        = string
  default     = ""
  validation {
    condition     = var.runbook_url == "" || startswith(var.runbook_url, "https://")
    error_message = "runbook_url must begin with https://."
  }
}

variable "latency_p99_ms" {
  description = "Production's p99 latency in ms above which somebody is told."
  type        = number
  default     = 1000
  validation {
    condition     = var.latency_p99_ms > 0
    error_message = "latency_p99_ms must be above 0."
  }
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` refuses to take the bucket with its models. `make destroy` turns it off when asked."
  type        = bool
  default     = true
}
