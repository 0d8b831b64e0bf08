"""The model under the protocols of others: Open Inference Protocol and MLflow."""
