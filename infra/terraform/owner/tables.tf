# SQL over the bucket, off unless asked for. The external tables hold nothing: a query reads the documents where they are,
# a line each, and its bytes are what it costs. `make sql` asks the same views in DuckDB.

locals {
  sql_folder = "${path.module}/../../sql"
  sql_tables = var.sql ? jsondecode(file("${local.sql_folder}/tables.json")) : {}
}

resource "google_bigquery_dataset" "sql" {
  count       = var.sql ? 1 : 0
  dataset_id  = replace(var.name, "-", "_") # letters, digits and underscores
  location    = var.region
  description = "What ${var.name} keeps in its bucket: what served, runs, files answered, live counters, alarms."
  depends_on  = [google_project_service.api]
}

# A document is one text: read as CSV with no quotes and a separator that JSON never holds unescaped. So a field that is
# new in a document breaks no table.
resource "google_bigquery_table" "documents" {
  for_each            = local.sql_tables
  dataset_id          = google_bigquery_dataset.sql[0].dataset_id
  table_id            = "${each.key}_documents"
  deletion_protection = false # it holds nothing

  external_data_configuration {
    source_format = "CSV"
    source_uris   = [for pattern in each.value : "gs://${module.names.buckets.pipeline}/${pattern}"]
    autodetect    = false
    schema        = jsonencode([{ name = "document", type = "STRING", mode = "NULLABLE" }])
    csv_options {
      quote           = ""
      field_delimiter = "\t"
      encoding        = "UTF-8"
    }
  }
}

resource "google_bigquery_table" "view" {
  for_each            = local.sql_tables
  dataset_id          = google_bigquery_dataset.sql[0].dataset_id
  table_id            = each.key
  deletion_protection = false

  view {
    query = replace(
      file("${local.sql_folder}/tables/${each.key}.sql"),
      "FROM ${each.key}_documents",
      "FROM `${var.project}.${replace(var.name, "-", "_")}.${google_bigquery_table.documents[each.key].table_id}`",
    )
    use_legacy_sql = false
  }
}
