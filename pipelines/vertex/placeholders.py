"""What Vertex AI Pipelines fills in when a task starts.

The names are those of google-cloud-pipeline-components, which a plain install does not bring: it
compiles all the same.
"""

PROJECT = "{{$.pipeline_google_cloud_project_id}}"
LOCATION = "{{$.pipeline_google_cloud_location}}"
SERVICE_ACCOUNT = "{{$.pipeline_service_account}}"
NETWORK = "{{$.pipeline_network}}"
PERSISTENT_RESOURCE_ID = "{{$.pipeline_persistent_resource_id}}"
