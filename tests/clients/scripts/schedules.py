"""What a user of google-cloud-aiplatform does with schedules of a tuning pipeline."""

import json
import sys
import time

from google.api_core.exceptions import NotFound
from google.cloud import aiplatform

project, template = sys.argv[1:]
aiplatform.init(project=project, location="us-central1", staging_bucket="gs://staging")

job = aiplatform.PipelineJob(
    display_name="weekly",
    template_path=template,
    parameter_values={
        "project": project,
        "model_display_name": "weekly",
        "dataset_uri": "gs://staging/train.jsonl",
        "large_model_reference": "byte-tiny",
    },
)
schedule = job.create_schedule(
    cron="TZ=Europe/Berlin 0 3 * * 1",
    display_name="weekly-tuning",
    max_run_count=3,
    max_concurrent_run_count=2,
    service_account="tuner@test-project.iam.gserviceaccount.com",
)
report = {"name": schedule.resource_name, "states": [schedule.state.name]}
got = aiplatform.PipelineJobSchedule.get(schedule.resource_name)
report["got"] = [got.display_name, got.cron, got.max_run_count, got.max_concurrent_run_count]
report["listed"] = [
    found.display_name
    for found in aiplatform.PipelineJobSchedule.list(filter='display_name="weekly-tuning"')
]

runs = []
while not runs:  # Until the service's clock has come to Monday.
    time.sleep(0.5)
    runs = schedule.list_jobs()
report["runs"] = [
    aiplatform.PipelineJob.get(run.resource_name).gca_resource.schedule_name for run in runs
]

schedule.pause()
report["states"].append(schedule.state.name)
schedule.resume(catch_up=False)
report["states"].append(schedule.state.name)
schedule.update(display_name="tuning-every-second-monday", cron="TZ=Europe/Berlin 0 3 1-7 * 1")
updated = aiplatform.PipelineJobSchedule.get(schedule.resource_name)
report["updated"] = [updated.display_name, updated.cron, updated.max_run_count]
schedule.delete()
try:
    aiplatform.PipelineJobSchedule.get(schedule.resource_name)
except NotFound:
    report["deleted"] = True
print(json.dumps(report))
