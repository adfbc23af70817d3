// What a user of @google-cloud/aiplatform does with a tuning pipeline, as its published samples do.

'use strict';

const {v1, helpers} = require('@google-cloud/aiplatform');
const {OAuth2Client} = require('google-auth-library');

const [project, apiEndpoint, port, protocol, templateUri] = process.argv.slice(2);
const parent = `projects/${project}/locations/us-central1`;

const authClient = new OAuth2Client();
authClient.setCredentials({access_token: 'token'});
const options = {apiEndpoint, port: Number(port), authClient};
if (protocol !== 'grpc') {
  Object.assign(options, {fallback: true, protocol});
}
const pipelines = new v1.PipelineServiceClient(options);
const models = new v1.ModelServiceClient(options);
const endpoints = new v1.EndpointServiceClient(options);
const predictions = new v1.PredictionServiceClient(options);

function pipelineJob(displayName, parameters) {
  const values = Object.entries({project, model_display_name: displayName, ...parameters});
  return {
    displayName,
    templateUri,
    labels: {team: 'support'},
    runtimeConfig: {
      gcsOutputDirectory: 'gs://staging/output',
      parameterValues: Object.fromEntries(
        values.map(([name, value]) => [name, helpers.toValue(value)])
      ),
    },
  };
}

const parameters = {
  dataset_uri: 'gs://staging/train.jsonl',
  large_model_reference: 'text-bison@002',
  train_steps: 4,
  accelerator_type: 'GPU',
};

async function create(displayName, extra = {}) {
  const [job] = await pipelines.createPipelineJob({
    parent,
    pipelineJob: pipelineJob(displayName, {...parameters, ...extra}),
    pipelineJobId: `job-${displayName}`,
  });
  return job.name;
}

async function stateAtEnd(name) {
  for (;;) {
    const [job] = await pipelines.getPipelineJob({name});
    if (['SUCCEEDED', 'FAILED', 'CANCELLED'].some(end => String(job.state).endsWith(end))) {
      return job.state;
    }
    await new Promise(resolve => setTimeout(resolve, 500));
  }
}

async function errorOf(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return {code: error.code, message: error.message};
  }
}

async function main() {
  const succeeding = await create('succeeding');
  const cancelled = await create('cancelled');
  await pipelines.cancelPipelineJob({name: cancelled});
  const report = {
    states: [await stateAtEnd(succeeding), await stateAtEnd(cancelled)],
    misspelt: await errorOf(create('misspelt', {'accelerator_type:': 'GPU'})),
    missing: await errorOf(pipelines.getPipelineJob({name: `${parent}/pipelineJobs/none`})),
  };
  const [jobs] = await pipelines.listPipelineJobs({parent, filter: 'display_name="cancelled"'});
  report.listed = jobs.map(job => job.name);

  const label = 'google-vertex-llm-tuning-base-model-id';
  const [tuned] = await models.listModels({parent, filter: `labels.${label}="text-bison-002"`});
  report.models = tuned.map(model => model.name);
  const [found] = await endpoints.listEndpoints({parent});
  report.endpoints = found.map(endpoint => endpoint.name);
  const [answer] = await predictions.predict({
    endpoint: tuned[0].deployedModels[0].endpoint,
    instances: [helpers.toValue({content: 'What is 1 + 1?'})],
    parameters: helpers.toValue({maxOutputTokens: 8, temperature: 0.2}),
  });
  report.predictions = answer.predictions.map(prediction => helpers.fromValue(prediction));
  console.log(JSON.stringify(report));
}

main();
